// The connection to the server: opens it, notices when it has fallen silent, comes back with growing
// pauses, and says at each step what it is doing.

import { keep, kept } from "/tools.js";

const FIRST_WAIT = 500;
const LONGEST_WAIT = 15_000;
const ALIVE_EVERY = 20_000;
const ANSWER_WITHIN = 10_000;
/** Bytes of messages that may wait for being unpacked, more than a server keeps of the past; beyond, the older half of them is dropped. */
const MOST_WAITING = 16 << 20;
const TOKEN = "token";
const GIVEN = "#token=";

/** States: connecting, live, locked; offline, full and refused (with `until`, when it tries again). */
export class Feed {
  /** `on.state(state, until)`, `on.message(text)`, `on.topics(names, by_key)`; `wanted()` says how to ask. */
  constructor(on, wanted) {
    this.on = on;
    this.wanted = wanted;
    this.socket = null;
    this.wait = FIRST_WAIT;
    this.timer = 0;
    this.attempt = 0;
    /** Whether the reader is asked for a token. */
    this.locked = false;
    /** A question to the server that it has not answered. */
    this.asked = null;
    /** By which number the server told of its topics. */
    this.version = 0;
    this.token = givenToken();
    /** Messages that wait for being unpacked, and their bytes. */
    this.waiting = [];
    this.heap = 0;
    this.unpacking = false;
    setInterval(() => this.probe(), ALIVE_EVERY);
    addEventListener("online", () => this.hurry());
    addEventListener("hashchange", () => {
      if (!location.hash.startsWith(GIVEN)) return;
      this.token = givenToken();
      this.connect();
    });
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
    const answer = await this.topics();
    if (attempt !== this.attempt) return;
    this.locked = answer?.status === 401;
    if (this.locked) {
      this.on.state("locked");
    } else if (!answer?.topics) {
      this.later("offline");
    } else {
      this.learn(answer);
      if (answer.full) this.later("full");
      else this.open();
    }
  }

  /** What the server says of its topics; null: nothing. */
  async topics() {
    const headers = this.token ? { authorization: `Bearer ${this.token}` } : {};
    try {
      const answer = await fetch("/topics", { headers, cache: "no-store", signal: AbortSignal.timeout(ANSWER_WITHIN) });
      return answer.ok ? await answer.json() : { status: answer.status };
    } catch {
      return null;
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
    this.probe();
    let opened = false;
    mine.onopen = () => {
      if (mine !== this.socket) return;
      opened = true;
      this.on.state("live");
      this.asked = null;
      this.probe();
    };
    mine.onmessage = ({ data }) => {
      if (mine !== this.socket) return;
      this.asked = null;
      // Only now: a server that takes connections and drops them must not be hurried.
      this.wait = FIRST_WAIT;
      this.waiting.push(data);
      this.heap += size(data);
      if (this.heap > MOST_WAITING) this.heap -= total(this.waiting.splice(0, this.waiting.length >> 1));
      this.unpack();
    };
    // One that the server does not even open is refused: it has just told of its topics.
    mine.onclose = () => mine === this.socket && this.lost(opened ? "offline" : "refused");
  }

  /** Takes what came, one after the other: unpacking takes a while, and nothing may overtake it. */
  async unpack() {
    if (this.unpacking) return;
    this.unpacking = true;
    while (this.waiting.length) {
      const data = this.waiting.shift();
      this.heap -= size(data);
      const from = this.socket;
      try {
        const text = typeof data === "string" ? data : await inflate(data);
        if (from === this.socket) this.take(text);
      } catch (error) {
        console.error(error);
      }
    }
    this.unpacking = false;
  }

  take(text) {
    if (!text.startsWith('{"type":"alive"')) {
      this.on.message(text);
      return;
    }
    const { version } = JSON.parse(text);
    if (version !== undefined && version !== this.version) this.refresh();
  }

  /** Learns of new topics, without which the page lives on. */
  async refresh() {
    const answer = await this.topics();
    if (answer?.topics) this.learn(answer);
  }

  learn({ topics, by_key, version }) {
    this.version = version;
    this.on.topics(topics, by_key);
  }

  lost(state = "offline") {
    this.drop();
    this.later(state);
  }

  later(state) {
    // Many pages that lost one server must not come back at one instant.
    const pause = this.wait * (0.5 + Math.random() / 2);
    this.wait = Math.min(this.wait * 2, LONGEST_WAIT);
    this.timer = setTimeout(() => this.connect(), pause);
    this.on.state(state, Date.now() + pause);
  }

  /** Comes back at once when the network or the reader does, who may have been away for long. */
  hurry() {
    if (this.locked) return;
    this.wait = FIRST_WAIT;
    if (this.socket) this.probe();
    else this.connect();
  }

  unlock(token) {
    this.token = sane(token);
    keep(TOKEN, this.token, "sessionStorage");
    this.connect();
  }

  drop() {
    const old = this.socket;
    this.socket = null;
    this.asked = null;
    this.waiting = [];
    this.heap = 0;
    old?.close();
  }

  /**
   * Asks whether the server is there, and gives it up when no answer comes. Time counts from the
   * question: a hidden page asks seldom, and its server is none the worse for it.
   */
  probe() {
    if (!this.socket || this.asked) return;
    const mine = (this.asked = {});
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send("alive?");
    setTimeout(() => this.asked === mine && this.lost(), ANSWER_WITHIN);
  }
}

/** Bytes of a message; letters of one that is a text. */
const size = (data) => data.byteLength ?? data.length;
const total = (all) => all.reduce((sum, data) => sum + size(data), 0);

async function inflate(packed) {
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
  return new Response(stream).text();
}

function base64(text) {
  return btoa(text).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

/** A token as servers have them, or none: others could not even be sent. */
function sane(token) {
  return /^\s*([\x21-\x7e]+)\s*$/.exec(token)?.[1] ?? "";
}

/** The token of `#token=…`, which no server ever sees in an address, or that of this tab. */
function givenToken() {
  if (!location.hash.startsWith(GIVEN)) return sane(kept(TOKEN, "sessionStorage") ?? "");
  const given = location.hash.slice(GIVEN.length);
  history.replaceState(null, "", location.pathname + location.search);
  let token = given;
  try {
    token = decodeURIComponent(given);
  } catch {
    // One that has a per cent sign of its own.
  }
  keep(TOKEN, sane(token), "sessionStorage");
  return sane(token);
}
