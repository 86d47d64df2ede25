"use strict";
// One selection for the whole page: charts, tables and pictures follow it, and the address keeps it.
//   #s=SECTION&sel=3,7-9&only=1&f=optimizer.lr>1e-4 stopped&sort=-val_loss
// Trials are known by their row in trials.csv (what data-t and the charts' customdata hold); in the address, by their numbers.
const selection = (() => {
  const said = JSON.parse(document.getElementById("trial-keys")?.textContent ?? '{"keys":[],"flags":[]}');
  const place = new Map(said.keys.map((key, index) => [key, index]));
  const state = { sel: new Set(), only: false, f: "", sort: "", s: "" };
  const listeners = [];
  let matches = null;  // of the filter; null: all

  const numbers = (text) => text.split(",").flatMap((part) => {
    const [, low, high] = /^(\d+)-(\d+)$/.exec(part) ?? [];
    return low ? said.keys.filter((key) => +key >= +low && +key <= +high) : [part];
  });
  const ranges = (indices) => {
    const parts = [];
    for (const index of [...indices].sort((a, b) => a - b)) {
      const last = parts.at(-1);
      if (last && last[1] === index - 1 && said.ranges) last[1] = index; else parts.push([index, index]);
    }
    return parts.map(([a, b]) => (a === b ? said.keys[a] : `${said.keys[a]}-${said.keys[b]}`)).join(",");
  };

  const read = () => {
    const hash = location.hash.slice(1), found = new URLSearchParams(hash.replaceAll("+", "%2B"));
    if (hash && !hash.includes("=")) { state.s = hash; return; }
    state.sel = new Set(numbers(found.get("sel") ?? "").map((key) => place.get(key)).filter((index) => index !== undefined));
    state.only = found.get("only") === "1" && state.sel.size > 0;
    state.f = found.get("f") ?? "";
    state.sort = found.get("sort") ?? "";
    state.s = found.get("s") ?? "";
  };
  const write = () => {
    const parts = [];
    if (state.s) parts.push(["s", state.s]);
    if (state.sel.size) parts.push(["sel", ranges(state.sel)]);
    if (state.only) parts.push(["only", "1"]);
    if (state.f) parts.push(["f", state.f]);
    if (state.sort) parts.push(["sort", state.sort]);
    const readable = (text) => encodeURIComponent(text).replaceAll("%2C", ",").replaceAll("%3E", ">").replaceAll("%3D", "=");
    const hash = parts.map(([name, value]) => `${name}=${readable(value)}`).join("&");
    history.replaceState(null, "", hash ? "#" + hash : location.pathname + location.search);
  };
  const tell = () => { matches = table.matching?.(state.f) ?? null; listeners.forEach((listen) => listen()); };
  const change = (changes) => { Object.assign(state, changes); write(); tell(); };

  const table = {};  // `matching` is set by the table, which holds the texts that a filter looks at
  return {
    state, said, table, change,
    on: (listen) => listeners.push(listen),
    start: () => { read(); tell(); if (state.s) document.getElementById(state.s)?.scrollIntoView(); },
    // From a chart: these and only these. From the table: one more, or one less, and the others stay in sight.
    brush: (indices, add) => change({ sel: new Set(add ? [...state.sel, ...indices] : indices), only: true }),
    toggle: (index, only) => {
      const sel = new Set(state.sel);
      if (!sel.delete(index)) sel.add(index);
      change({ sel, only: sel.size > 0 && only });
    },
    clear: () => change({ sel: new Set(), only: false, f: "" }),
    // What stands out in the charts, or null where all trials do.
    lit: () => {
      if (!state.sel.size) return matches;
      return matches ? new Set([...state.sel].filter((index) => matches.has(index))) : state.sel;
    },
    // What is in the table.
    shown: (index) => (!matches || matches.has(index)) && (!state.only || state.sel.has(index)),
  };
})();
addEventListener("hashchange", () => selection.start());
document.addEventListener("click", (event) => {
  const target = event.target.closest?.("a[href^='#']")?.getAttribute("href").slice(1);
  if (!target) return;
  event.preventDefault();
  selection.change({ s: target });
  const section = document.getElementById(target);
  section?.scrollIntoView();
  section?.setAttribute("tabindex", "-1");
  section?.focus({ preventScroll: true });
});
