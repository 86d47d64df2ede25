"use strict";
// The table of trials: sort, filter, select, save, copy; pictures in its order. All that is chosen goes through `selection`.
(() => {
  const table = document.getElementById("trials-table");
  if (!table) return selection.start();
  const body = table.tBodies[0], rows = [...body.rows], heads = [...table.tHead.rows[0].cells];
  const names = heads.map((head) => head.textContent), indices = rows.map((row) => Number(row.dataset.t));
  const texts = rows.map((row) => row.textContent.toLowerCase());
  const $ = (id) => document.getElementById(id);

  const value = (row, column) => row.cells[column].dataset.v ?? row.cells[column].textContent;
  const number = (text) => { const found = Number(text.replaceAll(",", "").replace("∞", "Infinity")); return text === "" || Number.isNaN(found) ? null : found; };

  // Terms with blanks between them: NAME>1e-4, NAME=3 (the whole name, or what follows its last dot), else any text.
  const compare = {
    "<": (a, b) => a < b, ">": (a, b) => a > b, "<=": (a, b) => a <= b, ">=": (a, b) => a >= b, "=": (a, b) => a === b, "!=": (a, b) => a !== b,
  };
  const term = (text) => {
    const [, name, sign, wanted] = /^(.+?)(<=|>=|!=|<|>|=)(.+)$/.exec(text) ?? [];
    const column = name ? names.findIndex((other) => other === name || other.endsWith("." + name)) : -1;
    if (column < 0) return (row, index) => texts[index].includes(text.toLowerCase());
    const bound = number(wanted);
    return (row) => {
      const found = value(row, column), measured = number(found);
      if (bound !== null && measured !== null) return compare[sign](measured, bound);
      return /^!?=$/.test(sign) && found !== "" && compare[sign](found.toLowerCase(), wanted.toLowerCase());
    };
  };
  selection.table.matching = (filter) => {
    const terms = filter.trim().split(/\s+/).filter(Boolean).map(term);
    return terms.length ? new Set(indices.filter((_, place) => terms.every((holds) => holds(rows[place], place)))) : null;
  };

  let sorted = null;
  const sort = (said) => {
    if (said === sorted) return;
    sorted = said;
    const down = said.startsWith("-"), column = names.indexOf(said.replace(/^-/, ""));
    heads.forEach((head, place) => head.setAttribute("aria-sort", place !== column ? "none" : down ? "descending" : "ascending"));
    if (column < 0) return body.append(...rows);
    const numeric = heads[column].classList.contains("n");
    const key = (row) => (numeric ? number(value(row, column)) : value(row, column) || null);
    const keyed = rows.map((row) => [key(row), row]);
    keyed.sort(([a], [b]) => a === null || b === null ? (a === null) - (b === null)  // what has no value is last, both ways
      : (down ? -1 : 1) * (numeric ? a - b : a.localeCompare(b, undefined, { numeric: true })));
    body.append(...keyed.map(([, row]) => row));
  };
  heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () =>
    selection.change({ sort: (head.getAttribute("aria-sort") === "ascending" ? "-" : "") + names[column] })));

  const column = Math.max(0, names.indexOf("trial"));
  const boxes = rows.map((row, place) => {
    const box = document.createElement("input");
    box.type = "checkbox";
    box.tabIndex = place ? -1 : 0;
    box.setAttribute("aria-label", "select trial " + row.cells[column].textContent);
    box.addEventListener("change", () => selection.toggle(indices[place], false));
    row.cells[column].prepend(box);
    return box;
  });
  body.addEventListener("keydown", (event) => {  // one tab stop for all boxes; the arrows go from one to the next
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step || event.target.type !== "checkbox") return;
    event.preventDefault();
    const seen = [...body.rows].filter((row) => !row.hidden).map((row) => row.querySelector("input"));
    const next = seen[seen.indexOf(event.target) + step];
    if (!next) return;
    boxes.forEach((box) => { box.tabIndex = -1; });
    next.tabIndex = 0;
    next.focus();
  });

  const pictures = [...document.querySelectorAll("[data-picture]")];
  const follow = () => {
    const order = new Map([...body.rows].map((row, place) => [row.dataset.t, place]));
    const moved = Boolean(selection.state.sort) || pictures.some((picture) => !selection.shown(Number(picture.dataset.picture)));
    for (const picture of pictures) {
      picture.hidden = !selection.shown(Number(picture.dataset.picture));
      picture.style.order = moved ? order.get(picture.dataset.picture) : "";
    }
    document.querySelectorAll(".strips h3").forEach((head) => { head.hidden = moved; });
  };

  const filter = $("filter"), only = $("only"), constants = $("constants");
  filter.addEventListener("input", () => selection.change({ f: filter.value }));
  only.addEventListener("change", () => selection.change({ only: only.checked && selection.state.sel.size > 0 }));
  constants.addEventListener("change", () => table.classList.toggle("hide-constant", !constants.checked));
  $("clear").addEventListener("click", () => selection.clear());

  const unpacked = async (id) => {
    const packed = Uint8Array.from(atob($(id).textContent), (c) => c.charCodeAt(0));
    return new Response(new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
  };
  const save = async () => {  // the lines of trials.csv, as they are in the file
    const [head, ...lines] = JSON.parse(await unpacked("csv"));
    const text = [head, ...lines.filter((_, index) => selection.shown(index))].join("");
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
    link.download = "trials.csv";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  };
  const copy = async () => {  // of the selected trials, else of the first one in sight
    const first = [...body.rows].find((row) => !row.hidden);
    const chosen = selection.state.sel.size ? [...selection.state.sel] : first ? [Number(first.dataset.t)] : [];
    const text = chosen.map((index) => selection.said.flags[index]).join("\n");
    const flags = $("flags");
    flags.hidden = false;
    flags.querySelector("code").textContent = text;
    getSelection().selectAllChildren(flags.querySelector("code"));
    try { await navigator.clipboard.writeText(text); $("shown").textContent = "copied"; } catch { /* it is selected: Ctrl-C */ }
  };
  $("save").addEventListener("click", save);
  $("copy-flags").addEventListener("click", copy);
  addEventListener("keydown", (event) => {
    if (event.key === "Escape") { selection.clear(); return; }
    if (/^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName) || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "/") { event.preventDefault(); filter.focus(); filter.scrollIntoView({ block: "center" }); }
    if (event.key === "c") copy();
    if (event.key === "d") save();
  });

  selection.on(() => {
    const { sel, f, sort: by } = selection.state;
    sort(by);
    let count = 0;
    rows.forEach((row, place) => {
      row.hidden = !selection.shown(indices[place]);
      count += !row.hidden;
      boxes[place].checked = sel.has(indices[place]);
    });
    for (const row of document.querySelectorAll("tr[data-t]")) row.classList.toggle("selected", sel.has(Number(row.dataset.t)));
    if (document.activeElement !== filter) filter.value = f;
    only.checked = selection.state.only;
    only.disabled = !sel.size;
    $("clear").disabled = !sel.size && !f;
    $("shown").textContent = [sel.size ? `${sel.size} selected` : "", count < rows.length ? `${count} of ${rows.length} shown` : ""].filter(Boolean).join(", ");
    follow();
  });
  selection.start();
})();
