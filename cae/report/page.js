"use strict";
(() => {
  const config = {
    showSendToCloud: false, plotlyServerURL: "", displaylogo: false, responsive: true,
    modeBarButtons: [["zoom2d", "resetScale2d", "toImage"]],
  };
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const theme = (isDark) => {
    const [ink, soft, line, paper] = isDark ? ["#e6e9ed", "#9aa5b1", "#2f363e", "#1d2126"] : ["#1b2026", "#5a6470", "#e8ebef", "#ffffff"];
    const axis = { gridcolor: line, zerolinecolor: line, linecolor: line, ticks: "", tickfont: { color: soft }, title: { font: { color: ink, size: 13 } }, automargin: true };
    return { layout: {
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", xaxis: axis, yaxis: axis,
      font: { family: getComputedStyle(document.body).fontFamily, size: 13, color: ink },
      hoverlabel: { bgcolor: paper, bordercolor: soft, font: { color: ink, size: 13 }, align: "left" },
      annotationdefaults: { font: { color: soft }, bgcolor: isDark ? "rgba(20,23,27,.8)" : "rgba(255,255,255,.8)" }, modebar: { bgcolor: "rgba(0,0,0,0)", color: soft, activecolor: ink },
    } };
  };

  // Panels stand in as many columns as fit: the arithmetic of figures/style.py, at the width at hand.
  const fit = (layout, width) => {
    const { panels, columns, panel_height: height, shared } = layout.meta;
    if (!(panels > 1)) return layout;
    const fitting = Math.max(1, Math.min(columns, Math.floor(width / 300)));
    const rows = Math.ceil(panels / fitting);
    const across = 64 / width, down = 64 / (rows * height);
    const wide = (1 - across * (fitting - 1)) / fitting, high = (1 - down * (rows - 1)) / rows;
    for (let i = 0; i < panels; i++) {
      const suffix = i ? String(i + 1) : "";
      const left = (i % fitting) * (wide + across), top = 1 - Math.floor(i / fitting) * (high + down);
      layout["xaxis" + suffix].domain = [left, left + wide];
      layout["yaxis" + suffix].domain = [Math.max(0, top - high), top];
      if (shared && i % fitting) layout["yaxis" + suffix].title.text = "";
    }
    layout.height = rows * height;
    return layout;
  };

  let library = null;
  const load = () => (library ||= (async () => {
    const packed = Uint8Array.from(atob(document.getElementById("library").textContent), (c) => c.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
    const script = document.createElement("script");
    script.textContent = await new Response(stream).text();
    document.head.append(script);
  })());

  const plots = [...document.querySelectorAll(".plot")];
  const draw = async (plot, isDark = dark.matches) => {
    await load();
    const figure = JSON.parse(document.getElementById(plot.dataset.chart + "-data").textContent);
    const least = figure.layout.meta.min_width;
    plot.style.minWidth = least ? least + "px" : "";
    const layout = fit(figure.layout, plot.clientWidth);
    plot.style.height = layout.height + "px";
    await Plotly.react(plot, figure.data, { ...layout, template: theme(isDark), autosize: true }, config);
    plot.dataset.drawn = plot.clientWidth;
  };
  const near = new IntersectionObserver((entries) => {
    for (const entry of entries) if (entry.isIntersecting) { near.unobserve(entry.target); draw(entry.target); }
  }, { rootMargin: "400px" });
  plots.forEach((plot) => near.observe(plot));
  const redraw = (isDark) => plots.filter((plot) => plot.dataset.drawn).forEach((plot) => draw(plot, isDark));
  dark.addEventListener("change", () => redraw(dark.matches));
  let waiting = 0;
  addEventListener("resize", () => { clearTimeout(waiting); waiting = setTimeout(() => redraw(dark.matches), 200); });
  addEventListener("beforeprint", () => plots.forEach((plot) => draw(plot, false)));
  addEventListener("afterprint", () => redraw(dark.matches));

  for (const button of document.querySelectorAll(".copy")) {
    button.addEventListener("click", async () => {
      const code = button.previousElementSibling;
      getSelection().selectAllChildren(code);
      try { await navigator.clipboard.writeText(code.textContent); button.textContent = "Copied"; } catch { button.textContent = "Selected"; }
    });
  }

  const table = document.getElementById("trials-table");
  if (!table) return;
  const body = table.tBodies[0], rows = [...body.rows], heads = [...table.tHead.rows[0].cells];
  const texts = rows.map((row) => row.textContent.toLowerCase());
  const key = (row, column, numeric) => {
    const cell = row.cells[column], text = cell.dataset.v ?? cell.textContent;
    if (!numeric) return text === "" ? null : text;
    const value = Number(text.replaceAll(",", "").replace("∞", "Infinity"));
    return text === "" || Number.isNaN(value) ? null : value;
  };
  heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => {
    const up = head.getAttribute("aria-sort") !== "ascending", numeric = head.classList.contains("n");
    heads.forEach((other) => other.setAttribute("aria-sort", "none"));
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    const keyed = rows.map((row) => [key(row, column, numeric), row]);
    keyed.sort(([a], [b]) => a === null || b === null ? (a === null) - (b === null)  // what has no value is last, both ways
      : (up ? 1 : -1) * (numeric ? a - b : a.localeCompare(b, undefined, { numeric: true })));
    body.append(...keyed.map(([, row]) => row));
  }));
  const shown = document.getElementById("shown");
  document.getElementById("filter").addEventListener("input", (event) => {
    const wanted = event.target.value.trim().toLowerCase();
    let count = 0;
    rows.forEach((row, index) => { row.hidden = !texts[index].includes(wanted); count += !row.hidden; });
    shown.textContent = wanted ? `${count} of ${rows.length} shown` : "";
  });
  const constants = document.getElementById("constants");
  constants.addEventListener("change", () => table.classList.toggle("hide-constant", !constants.checked));
})();
