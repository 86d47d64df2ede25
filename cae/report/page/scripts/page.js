"use strict";
// Charts: drawn when near the screen, in the reader's colours, with the selection of the whole page.
(() => {
  const config = {
    showSendToCloud: false, plotlyServerURL: "", displaylogo: false, responsive: true,
    modeBarButtons: [["select2d", "zoom2d", "resetScale2d", "toImage"]],
  };
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const theme = (isDark) => {
    const [ink, soft, line, paper] = isDark ? ["#e6e9ed", "#9aa5b1", "#2f363e", "#1d2126"] : ["#1b2026", "#5a6470", "#e8ebef", "#ffffff"];
    const axis = { gridcolor: line, zerolinecolor: line, linecolor: line, ticks: "", tickfont: { color: soft }, exponentformat: "e", title: { font: { color: ink, size: 13 } }, automargin: true };
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

  // Numbers come as base64 of their bytes.
  const kinds = { f4: Float32Array, f8: Float64Array, i1: Int8Array, i2: Int16Array, i4: Int32Array, u1: Uint8Array };
  const array = (held) => (held?.bdata ? new kinds[held.dtype](Uint8Array.from(atob(held.bdata), (c) => c.charCodeAt(0)).buffer) : held);
  const trialsOf = (held) => (Array.isArray(held) ? held : [held]);

  // What is not selected steps back: dots by plotly's own selected points, lines by a pale copy behind those that are.
  const highlighted = (traces) => {
    const lit = selection.lit();
    if (!lit) return traces;
    return traces.flatMap((trace) => {
      if (!trace.customdata) return [trace];
      const on = trace.customdata.map((held) => trialsOf(held).some((trial) => lit.has(trial)));
      if (trace.mode === "markers") {
        return [{ ...trace, selectedpoints: on.flatMap((yes, point) => (yes ? [point] : [])), unselected: { marker: { opacity: 0.1 } } }];
      }
      const y = [...array(trace.y)].map((height, point) => (on[point] ? height : null));
      return [{ ...trace, opacity: 0.08, hoverinfo: "skip" }, { ...trace, y, opacity: 1, showlegend: false }];
    });
  };

  let printing = false;
  const plots = [...document.querySelectorAll(".plot")], near = new Set();
  const figureOf = (plot) => JSON.parse(document.getElementById(plot.dataset.chart + "-data").textContent);
  const draw = async (plot) => {
    const isDark = dark.matches && !printing;
    await load();
    const figure = figureOf(plot), least = figure.layout.meta.min_width;
    plot.style.minWidth = least ? least + "px" : "";
    const layout = fit(figure.layout, plot.clientWidth), linked = figure.data.some((trace) => trace.customdata);
    plot.style.height = layout.height + "px";
    const looks = { template: theme(isDark), autosize: true, dragmode: linked ? "select" : "zoom", uirevision: "kept", selections: [] };
    await Plotly.react(plot, highlighted(figure.data), { ...layout, ...looks }, config);
    if (!plot.dataset.drawn && linked) listen(plot);
    plot.dataset.drawn = plot.clientWidth;
    delete plot.dataset.stale;
  };
  const listen = (plot) => {
    plot.on("plotly_selected", (event) => {
      if (!event) return;
      const found = new Set((event.points ?? []).flatMap((point) => trialsOf(point.customdata)));
      for (const trace of figureOf(plot).data) {  // lines that pass through the box: plotly itself selects dots only
        const [x, y] = [event.range?.[trace.xaxis ?? "x"], event.range?.[trace.yaxis ?? "y"]];
        if (!x || !y || trace.mode === "markers" || !trace.customdata || trace.visible === "legendonly") continue;
        const [xs, ys] = [array(trace.x), array(trace.y)];
        const inside = (at, [low, high]) => at >= Math.min(low, high) && at <= Math.max(low, high);
        trace.customdata.forEach((trial, point) => { if (inside(xs[point], x) && inside(ys[point], y)) found.add(trial); });
      }
      if (found.size) selection.brush(found, false);
    });
    plot.on("plotly_deselect", () => selection.clear());
    plot.on("plotly_click", (event) => event.points.slice(0, 1).forEach((point) => {
      if (point.customdata !== undefined) trialsOf(point.customdata).forEach((trial) => selection.toggle(trial, true));
    }));
  };
  const watch = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      if (isIntersecting) near.add(target); else near.delete(target);
      if (isIntersecting && (!target.dataset.drawn || target.dataset.stale)) draw(target);
    }
  }, { rootMargin: "400px" });
  const redraw = () => plots.filter((plot) => plot.dataset.drawn).forEach((plot) => {
    if (near.has(plot)) draw(plot); else plot.dataset.stale = "yes";
  });
  selection.on(redraw);
  plots.forEach((plot) => watch.observe(plot));
  dark.addEventListener("change", redraw);
  let waiting = 0;
  addEventListener("resize", () => { clearTimeout(waiting); waiting = setTimeout(redraw, 200); });
  addEventListener("beforeprint", () => { printing = true; plots.forEach(draw); });
  addEventListener("afterprint", () => { printing = false; plots.forEach(draw); });

  for (const button of document.querySelectorAll(".copy")) {
    button.addEventListener("click", async () => {
      const code = button.previousElementSibling;
      getSelection().selectAllChildren(code);
      try { await navigator.clipboard.writeText(code.textContent); button.textContent = "Copied"; } catch { button.textContent = "Selected"; }
    });
  }

  // Served by `cae-sweep report --watch`: a newer page is loaded in its place; the address keeps what was chosen.
  const seen = document.documentElement.dataset.version;
  if (seen) {
    let held = false;
    addEventListener("pointerdown", () => { held = true; });
    addEventListener("pointerup", () => { held = false; });
    setInterval(async () => {
      const version = await fetch("version").then((answer) => (answer.ok ? answer.text() : seen), () => seen);  // the server may be gone
      if (version !== seen && !held) location.reload();
    }, 2000);
  }
})();
