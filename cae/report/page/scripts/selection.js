"use strict";
// The selection of trials, shared by charts, tables and images, and stored in the address:
//   #s=SECTION&sel=3,7-9&only=1&f=optimizer.lr>1e-4 stopped&sort=-val_loss
// A trial is identified by its row in trials.csv (in data-trial and in customdata of the charts);
// in the address, by its number.

// Scroll to a section, or to the answer of one that has nothing to show, which may be folded away.
const showSection = (id) => {
  const section = document.getElementById(id);
  section?.closest("details")?.setAttribute("open", "");
  section?.scrollIntoView();
  return section;
};

const selection = (() => {
  const element = document.getElementById("trial-keys");
  const page = JSON.parse(element?.textContent ?? '{"keys":[],"flags":[],"ranges":false}');
  const rowOfKey = new Map(page.keys.map((key, row) => [key, row]));
  const state = { trials: new Set(), onlySelected: false, filter: "", sort: "", section: "" };
  const listeners = [];
  let matchesOf = () => null;  // set by the table of trials, which holds the texts to search
  let matches = null;  // the trials that match the filter; null: all

  const parseTrials = (text) => {
    const keys = text.split(",").flatMap((part) => {
      const range = /^(\d+)-(\d+)$/.exec(part);
      if (!range) return [part];
      const [low, high] = [Number(range[1]), Number(range[2])];
      return page.keys.filter((key) => Number(key) >= low && Number(key) <= high);
    });
    return new Set(keys.map((key) => rowOfKey.get(key)).filter((row) => row !== undefined));
  };

  const formatTrials = (trials) => {
    const ranges = [];
    for (const row of [...trials].sort((a, b) => a - b)) {
      const last = ranges.at(-1);
      if (page.ranges && last && last.end === row - 1) {
        last.end = row;
      } else {
        ranges.push({ start: row, end: row });
      }
    }
    return ranges.map(({ start, end }) => {
      if (start === end) return page.keys[start];
      return `${page.keys[start]}-${page.keys[end]}`;
    }).join(",");
  };

  const readAddress = () => {
    const hash = location.hash.slice(1);
    if (hash && !hash.includes("=")) {  // a plain link to a section
      state.section = hash;
      return;
    }
    const parameters = new URLSearchParams(hash.replaceAll("+", "%2B"));
    state.trials = parseTrials(parameters.get("sel") ?? "");
    state.onlySelected = parameters.get("only") === "1" && state.trials.size > 0;
    state.filter = parameters.get("f") ?? "";
    state.sort = parameters.get("sort") ?? "";
    state.section = parameters.get("s") ?? "";
  };

  const writeAddress = () => {
    const parameters = [
      ["s", state.section],
      ["sel", formatTrials(state.trials)],
      ["only", state.onlySelected ? "1" : ""],
      ["f", state.filter],
      ["sort", state.sort],
    ];
    const encode = (text) => encodeURIComponent(text)
      .replaceAll("%2C", ",").replaceAll("%3E", ">").replaceAll("%3D", "=");
    const hash = parameters.filter(([, value]) => value)
      .map(([name, value]) => `${name}=${encode(value)}`).join("&");
    history.replaceState(null, "", hash ? "#" + hash : location.pathname + location.search);
  };

  const notify = () => {
    matches = matchesOf(state.filter);
    listeners.forEach((listener) => listener());
  };

  const change = (changes) => {
    Object.assign(state, changes);
    writeAddress();
    notify();
  };

  return {
    state,
    flags: page.flags,
    change,
    onChange: (listener) => listeners.push(listener),
    setSearch: (search) => { matchesOf = search; },
    start: () => {
      readAddress();
      notify();
      if (state.section) showSection(state.section);
    },
    // Select exactly these trials and hide the others in the table (a box in a chart).
    replace: (trials) => change({ trials: new Set(trials), onlySelected: true }),
    // Add or remove one trial; `onlySelected` hides the others in the table.
    toggle: (trial, onlySelected) => {
      const trials = new Set(state.trials);
      if (!trials.delete(trial)) trials.add(trial);
      change({ trials, onlySelected: trials.size > 0 && onlySelected });
    },
    clear: () => change({ trials: new Set(), onlySelected: false, filter: "" }),
    // The trials that charts highlight; null: all.
    highlighted: () => {
      if (!state.trials.size) return matches;
      if (!matches) return state.trials;
      return new Set([...state.trials].filter((trial) => matches.has(trial)));
    },
    // Whether the table and the images show a trial.
    isShown: (trial) =>
      (!matches || matches.has(trial)) && (!state.onlySelected || state.trials.has(trial)),
  };
})();

// Decompress the text of a script element: base64 of gzip.
const unpack = async (id) => {
  const base64 = document.getElementById(id).textContent;
  const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).text();
};
