"use strict";
// The table of trials: sort, filter, select, save, copy. Images follow its order and its filter.
(() => {
  const table = document.getElementById("trials-table");
  if (!table) {
    selection.start();
    return;
  }
  const byId = (id) => document.getElementById(id);
  const body = table.tBodies[0];
  const rows = [...body.rows];
  const headings = [...table.tHead.rows[0].cells];
  const names = headings.map((heading) => heading.textContent);
  const trials = rows.map((row) => Number(row.dataset.trial));
  const texts = rows.map((row) => row.textContent.toLowerCase());

  const cellValue = (row, column) => row.cells[column].dataset.exact ?? row.cells[column].textContent;
  const parseNumber = (text) => {
    const value = Number(text.replaceAll(",", "").replace("∞", "Infinity"));
    return text === "" || Number.isNaN(value) ? null : value;
  };

  // A filter consists of terms separated by spaces: NAME>1e-4, NAME=3 (the full name of a column
  // or what follows its last dot), or any text.
  const OPERATORS = {
    "<": (a, b) => a < b,
    ">": (a, b) => a > b,
    "<=": (a, b) => a <= b,
    ">=": (a, b) => a >= b,
    "=": (a, b) => a === b,
    "!=": (a, b) => a !== b,
  };
  const parseTerm = (term) => {
    const [, name, operator, wanted] = /^(.+?)(<=|>=|!=|<|>|=)(.+)$/.exec(term) ?? [];
    const column = names.findIndex((other) => other === name || other.endsWith("." + name));
    if (!name || column < 0) return (row, index) => texts[index].includes(term.toLowerCase());
    const compare = OPERATORS[operator];
    const wantedNumber = parseNumber(wanted);
    return (row) => {
      const value = cellValue(row, column);
      const number = parseNumber(value);
      if (wantedNumber !== null && number !== null) return compare(number, wantedNumber);
      const isEquality = operator === "=" || operator === "!=";
      return isEquality && value !== "" && compare(value.toLowerCase(), wanted.toLowerCase());
    };
  };
  selection.setSearch((filter) => {
    const terms = filter.trim().split(/\s+/).filter(Boolean).map(parseTerm);
    if (!terms.length) return null;
    return new Set(trials.filter((_, index) => terms.every((matches) => matches(rows[index], index))));
  });

  let currentOrder = null;
  const sort = (order) => {
    if (order === currentOrder) return;
    currentOrder = order;
    const isDescending = order.startsWith("-");
    const column = names.indexOf(order.replace(/^-/, ""));
    headings.forEach((heading, index) => {
      const direction = isDescending ? "descending" : "ascending";
      heading.setAttribute("aria-sort", index === column ? direction : "none");
    });
    if (column < 0) {
      body.append(...rows);
      return;
    }
    const isNumeric = headings[column].classList.contains("n");
    const keyed = rows.map((row) => {
      const value = cellValue(row, column);
      return { row, key: isNumeric ? parseNumber(value) : value || null };
    });
    const sign = isDescending ? -1 : 1;
    keyed.sort(({ key: a }, { key: b }) => {
      if (a === null || b === null) return (a === null) - (b === null);  // missing values are last
      return sign * (isNumeric ? a - b : a.localeCompare(b, undefined, { numeric: true }));
    });
    body.append(...keyed.map(({ row }) => row));
  };
  headings.forEach((heading, column) => {
    heading.querySelector("button").addEventListener("click", () => {
      const isAscending = heading.getAttribute("aria-sort") === "ascending";
      selection.change({ sort: (isAscending ? "-" : "") + names[column] });
    });
  });

  // Checkboxes. Only one of them is a tab stop; the arrow keys move between them.
  const trialColumn = Math.max(0, names.indexOf("trial"));
  const checkboxes = rows.map((row, index) => {
    const checkbox = document.createElement("input");
    checkbox.type = "checkbox";
    checkbox.tabIndex = index === 0 ? 0 : -1;
    checkbox.setAttribute("aria-label", "select trial " + row.cells[trialColumn].textContent);
    checkbox.addEventListener("change", () => selection.toggle(trials[index], false));
    row.cells[trialColumn].prepend(checkbox);
    return checkbox;
  });
  body.addEventListener("keydown", (event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step || event.target.type !== "checkbox") return;
    event.preventDefault();
    const shown = [...body.rows].filter((row) => !row.hidden).map((row) => row.querySelector("input"));
    const next = shown[shown.indexOf(event.target) + step];
    if (!next) return;
    checkboxes.forEach((checkbox) => { checkbox.tabIndex = -1; });
    next.tabIndex = 0;
    next.focus();
  });

  const images = [...document.querySelectorAll("[data-image-of]")];
  const arrangeImages = () => {
    const position = new Map([...body.rows].map((row, index) => [row.dataset.trial, index]));
    const isShown = (image) => selection.isShown(Number(image.dataset.imageOf));
    const isRearranged = selection.state.sort !== "" || !images.every(isShown);
    for (const image of images) {
      image.hidden = !isShown(image);
      image.style.order = isRearranged ? position.get(image.dataset.imageOf) : "";
    }
    for (const heading of document.querySelectorAll(".strips h3")) heading.hidden = isRearranged;
  };

  const filter = byId("filter");
  const onlySelected = byId("only-selected");
  const showConstant = byId("show-constant");
  filter.addEventListener("input", () => selection.change({ filter: filter.value }));
  onlySelected.addEventListener("change", () => {
    selection.change({ onlySelected: onlySelected.checked && selection.state.trials.size > 0 });
  });
  showConstant.addEventListener("change", () => {
    table.classList.toggle("hide-constant", !showConstant.checked);
  });
  byId("clear").addEventListener("click", () => selection.clear());

  // Save the shown rows: the lines of trials.csv as they are in the file.
  const save = async () => {
    const [header, ...lines] = JSON.parse(await unpack("csv"));
    const text = [header, ...lines.filter((_, trial) => selection.isShown(trial))].join("");
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
    link.download = "trials.csv";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  };
  // Copy the flags of the selected trials, or of the first shown trial if none is selected.
  const copyFlags = async () => {
    let chosen = [...selection.state.trials];
    if (!chosen.length) {
      const first = [...body.rows].find((row) => !row.hidden);
      chosen = first ? [Number(first.dataset.trial)] : [];
    }
    const text = chosen.map((trial) => selection.flags[trial]).join("\n");
    const code = byId("flags").querySelector("code");
    byId("flags").hidden = false;
    code.textContent = text;
    getSelection().selectAllChildren(code);
    try {
      await navigator.clipboard.writeText(text);
      byId("shown").textContent = "copied";
    } catch { /* The clipboard is not available; the text is selected. */ }
  };
  byId("save").addEventListener("click", save);
  byId("copy-flags").addEventListener("click", copyFlags);

  addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      selection.clear();
      return;
    }
    const isTyping = /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName);
    if (isTyping || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "/") {
      event.preventDefault();
      filter.focus();
      filter.scrollIntoView({ block: "center" });
    }
    if (event.key === "c") copyFlags();
    if (event.key === "d") save();
  });

  selection.onChange(() => {
    const state = selection.state;
    sort(state.sort);
    let shownRows = 0;
    rows.forEach((row, index) => {
      row.hidden = !selection.isShown(trials[index]);
      if (!row.hidden) shownRows += 1;
      checkboxes[index].checked = state.trials.has(trials[index]);
    });
    for (const row of document.querySelectorAll("tr[data-trial]")) {
      row.classList.toggle("selected", state.trials.has(Number(row.dataset.trial)));
    }
    if (document.activeElement !== filter) filter.value = state.filter;
    onlySelected.checked = state.onlySelected;
    onlySelected.disabled = state.trials.size === 0;
    byId("clear").disabled = state.trials.size === 0 && !state.filter;
    const counts = [];
    if (state.trials.size) counts.push(`${state.trials.size} selected`);
    if (shownRows < rows.length) counts.push(`${shownRows} of ${rows.length} shown`);
    byId("shown").textContent = counts.join(", ");
    arrangeImages();
  });
  selection.start();
})();
