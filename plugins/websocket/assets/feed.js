// The connection to the server: opens it, notices when it has fallen silent, comes back with growing
// pauses, and says at each step what it is doing.

const FIRST_WAIT = 500;
const LONGEST_WAIT = 15_000;
const ALIVE_EVERY = 20_000;
const SILENT_AFTER = 45_000;
const TOKEN = "token";

/** States: connecting, live, offline (with `until`, when it tries again), full, locked. */
export class Feed {
  /** `on.state(state, until)`, `on.message(text)`, `on.topics(names, by_key)`; `wanted()` says how to ask. */
  constructor(on, wanted) {
    this.on = on;
    this.wanted = wanted;
    this.socket = null;
    this.wait = FIRST_WAIT;
    this.timer = 0;
    this.heard = 0;
    this.attempt = 0;
    /** What the server said last: whether records have topics, and how many there are. */
    this.by_key = false;
    this.topics = 0;
    this.token = keptToken();
    this.turn = Promise.resolve();
    setInterval(() => this.pulse(), ALIVE_EVERY);
    addEventListener("online", () => this.hurry());
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden) this.hurry();
    });
  }

  /** Connects, or connects anew where something else is wanted now. */
  async connect() {
    clearTimeout(this.timer);
    const attempt = ++this.attempt;
    this.drop();
    this.on.state("connecting");
    let answer = null;
    try {
      const headers = this.token ? { authorization: `Bearer ${this.token}` } : {};
      answer = await fetch("/topics", { headers, cache: "no-store", signal: AbortSignal.timeout(10_000) });
      if (answer.ok) answer = { ...(await answer.json()), ok: true };
    } catch {
      answer = null;
    }
    if (attempt !== this.attempt) return;
    if (answer?.status === 401) {
      this.on.state("locked");
    } else if (!answer?.ok) {
      this.later("offline");
    } else {
      this.learn(answer);
      if (answer.full) this.later("full");
      else this.open();
    }
  }

  open() {
    const query = new URLSearchParams(this.wanted());
    if ("DecompressionStream" in window) query.set("deflate", "1");
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    const protocols = this.token ? ["feed", `bearer.${base64(this.token)}`] : [];
    const mine = new WebSocket(`${scheme}//${location.host}/feed?${query}`, protocols);
    mine.binaryType = "arraybuffer";
    this.socket = mine;
    this.heard = Date.now();
    mine.onopen = () => {
      this.wait = FIRST_WAIT;
      this.on.state("live");
    };
    mine.onmessage = ({ data }) => {
      this.heard = Date.now();
      // Unpacking takes a while: what comes later must not overtake it.
      this.turn = this.turn
        .then(() => (typeof data === "string" ? data : inflate(data)))
        .then((text) => mine === this.socket && this.take(text))
        .catch((error) => console.error(error));
    };
    mine.onclose = () => {
      if (this.socket !== mine) return;
      this.socket = null;
      this.later("offline");
    };
  }

  take(text) {
    if (text.startsWith('{"type":"alive"')) {
      if (JSON.parse(text).topics !== this.topics) this.refresh();
    } else {
      this.on.message(text);
    }
  }

  /** Learns of new topics, without which the page lives on. */
  async refresh() {
    const headers = this.token ? { authorization: `Bearer ${this.token}` } : {};
    const answer = await fetch("/topics", { headers, cache: "no-store" }).catch(() => null);
    if (!answer?.ok) return;
    this.learn(await answer.json());
  }

  learn({ topics, by_key }) {
    this.by_key = by_key;
    this.topics = topics.length;
    this.on.topics(topics, by_key);
  }

  later(state) {
    // Many pages that lost one server must not come back at one instant.
    const pause = this.wait * (0.5 + Math.random() / 2);
    this.wait = Math.min(this.wait * 2, LONGEST_WAIT);
    this.timer = setTimeout(() => this.connect(), pause);
    this.on.state(state, Date.now() + pause);
  }

  /** Comes back at once when the network or the reader does. */
  hurry() {
    this.wait = FIRST_WAIT;
    if (!this.socket) this.connect();
  }

  unlock(token) {
    this.token = token;
    keepToken(token);
    this.connect();
  }

  drop() {
    const old = this.socket;
    this.socket = null;
    old?.close();
  }

  pulse() {
    if (!this.socket) return;
    if (Date.now() - this.heard > SILENT_AFTER) {
      this.drop();
      this.later("offline");
    } else if (this.socket.readyState === WebSocket.OPEN) {
      this.socket.send("alive?");
    }
  }
}

async function inflate(packed) {
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
  return new Response(stream).text();
}

function base64(text) {
  const bytes = new TextEncoder().encode(text);
  return btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

/** The token of `#token=…`, which no server ever sees in an address, or that of this tab. */
function keptToken() {
  const given = new URLSearchParams(location.hash.slice(1)).get(TOKEN);
  if (given) {
    history.replaceState(null, "", location.pathname + location.search);
    keepToken(given);
    return given;
  }
  try {
    return sessionStorage.getItem(TOKEN) ?? "";
  } catch {
    return "";
  }
}

function keepToken(token) {
  try {
    sessionStorage.setItem(TOKEN, token);
  } catch {
    // Without storage it lasts as long as the page.
  }
}
