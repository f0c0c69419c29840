// What several parts of the page need.

export const id = (name) => document.getElementById(name);
export const number = new Intl.NumberFormat();
export const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });

/** What was kept under a name, or null. Some browsers forbid storage, or some readers: then nothing was. */
export function kept(name, storage = "localStorage") {
  try {
    return window[storage].getItem(name);
  } catch {
    return null;
  }
}

/** Keeps a text; without storage it lasts as long as the page. */
export function keep(name, text, storage = "localStorage") {
  try {
    window[storage].setItem(name, text);
  } catch {
    // As said.
  }
}
