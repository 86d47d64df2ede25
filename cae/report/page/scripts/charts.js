"use strict";
// Charts: drawn when they come near the screen, in the colors of the reader's theme, with the
// selected trials highlighted.
(() => {
  const PANEL_GAP = 64;  // pixels, as in figures/style.py
  const MIN_PANEL_WIDTH = 300;
  const config = {
    showSendToCloud: false,
    plotlyServerURL: "",
    displaylogo: false,
    responsive: true,
    modeBarButtons: [["select2d", "zoom2d", "resetScale2d", "toImage"]],
  };
  const COLORS = {
    light: {
      ink: "#1b2026", soft: "#5a6470", line: "#e8ebef", paper: "#ffffff", label: "rgba(255,255,255,.8)",
    },
    dark: {
      ink: "#e6e9ed", soft: "#9aa5b1", line: "#2f363e", paper: "#1d2126", label: "rgba(20,23,27,.8)",
    },
  };
  const darkTheme = matchMedia("(prefers-color-scheme: dark)");

  const template = (isDark) => {
    const { ink, soft, line, paper, label } = isDark ? COLORS.dark : COLORS.light;
    const transparent = "rgba(0,0,0,0)";
    const axis = {
      gridcolor: line,
      zerolinecolor: line,
      linecolor: line,
      ticks: "",
      tickfont: { color: soft },
      exponentformat: "e",
      title: { font: { color: ink, size: 13 } },
      automargin: true,
    };
    return {
      layout: {
        paper_bgcolor: transparent,
        plot_bgcolor: transparent,
        xaxis: axis,
        yaxis: axis,
        font: { family: getComputedStyle(document.body).fontFamily, size: 13, color: ink },
        hoverlabel: {
          bgcolor: paper, bordercolor: soft, font: { color: ink, size: 13 }, align: "left",
        },
        annotationdefaults: { font: { color: soft }, bgcolor: label },
        modebar: { bgcolor: transparent, color: soft, activecolor: ink },
      },
    };
  };

  // Arrange the panels in as many columns as fit: figures/style.py does the same for 1000 pixels.
  const arrangePanels = (layout, width) => {
    const { panels, columns, panel_height: panelHeight, shared } = layout.meta;
    if (panels <= 1) return;
    const fitting = Math.max(1, Math.min(columns, Math.floor(width / MIN_PANEL_WIDTH)));
    const rows = Math.ceil(panels / fitting);
    const gapAcross = PANEL_GAP / width;
    const gapDown = PANEL_GAP / (rows * panelHeight);
    const panelWidth = (1 - gapAcross * (fitting - 1)) / fitting;
    const panelShare = (1 - gapDown * (rows - 1)) / rows;
    for (let panel = 0; panel < panels; panel++) {
      const suffix = panel ? String(panel + 1) : "";
      const column = panel % fitting;
      const left = column * (panelWidth + gapAcross);
      const top = 1 - Math.floor(panel / fitting) * (panelShare + gapDown);
      layout["xaxis" + suffix].domain = [left, left + panelWidth];
      layout["yaxis" + suffix].domain = [Math.max(0, top - panelShare), top];
      if (shared && column > 0) layout["yaxis" + suffix].title.text = "";
    }
    layout.height = rows * panelHeight;
  };

  let libraryLoaded = null;
  const loadLibrary = () => {
    libraryLoaded ||= unpack("library").then((source) => {
      const script = document.createElement("script");
      script.textContent = source;
      document.head.append(script);
    });
    return libraryLoaded;
  };

  // plotly.py writes arrays of numbers as base64 of their bytes.
  const ARRAY_TYPES = {
    f4: Float32Array, f8: Float64Array, i1: Int8Array, i2: Int16Array, i4: Int32Array, u1: Uint8Array,
  };
  const decodeArray = (array) => {
    if (!array?.bdata) return array;
    const bytes = Uint8Array.from(atob(array.bdata), (character) => character.charCodeAt(0));
    return new ARRAY_TYPES[array.dtype](bytes.buffer);
  };
  // A point stands for one trial or for several (the mean over seeds).
  const trialsOfPoint = (customdata) => (Array.isArray(customdata) ? customdata : [customdata]);

  // Fade trials that are not selected: markers with plotly's own selection of points, lines by
  // drawing a pale copy of all behind the selected ones.
  const highlightSelection = (traces) => {
    const highlighted = selection.highlighted();
    if (!highlighted) return traces;
    return traces.flatMap((trace) => {
      if (!trace.customdata) return [trace];
      const isHighlighted = trace.customdata.map(
        (point) => trialsOfPoint(point).some((trial) => highlighted.has(trial)));
      if (trace.mode === "markers") {
        const selectedpoints = [...isHighlighted.keys()].filter((point) => isHighlighted[point]);
        return [{ ...trace, selectedpoints, unselected: { marker: { opacity: 0.1 } } }];
      }
      const y = [...decodeArray(trace.y)].map((value, point) => (isHighlighted[point] ? value : null));
      return [
        { ...trace, opacity: 0.08, hoverinfo: "skip" },
        { ...trace, y, opacity: 1, showlegend: false },
      ];
    });
  };

  let isPrinting = false;
  const plots = [...document.querySelectorAll(".plot")];
  const plotsNearScreen = new Set();
  const readFigure = (plot) =>
    JSON.parse(document.getElementById(plot.dataset.chart + "-data").textContent);

  const draw = async (plot) => {
    const isDark = darkTheme.matches && !isPrinting;
    await loadLibrary();
    const { data, layout } = readFigure(plot);
    const minWidth = layout.meta.min_width;
    plot.style.minWidth = minWidth ? minWidth + "px" : "";
    arrangePanels(layout, plot.clientWidth);
    plot.style.height = layout.height + "px";
    const showsTrials = data.some((trace) => trace.customdata);
    const settings = {
      template: template(isDark),
      autosize: true,
      dragmode: showsTrials ? "select" : "zoom",
      uirevision: "constant",  // a redrawn chart keeps its zoom
      selections: [],
    };
    await Plotly.react(plot, highlightSelection(data), { ...layout, ...settings }, config);
    if (!plot.dataset.drawn && showsTrials) listenToSelection(plot);
    plot.dataset.drawn = plot.clientWidth;
    delete plot.dataset.stale;
  };

  // The trials whose lines pass through a box: plotly itself only selects markers.
  const linesInBox = (plot, ranges) => {
    const trials = [];
    const isInside = (value, [a, b]) => value >= Math.min(a, b) && value <= Math.max(a, b);
    for (const trace of readFigure(plot).data) {
      const xRange = ranges?.[trace.xaxis ?? "x"];
      const yRange = ranges?.[trace.yaxis ?? "y"];
      const isLine = trace.customdata && trace.mode !== "markers";
      if (!xRange || !yRange || !isLine || trace.visible === "legendonly") continue;
      const x = decodeArray(trace.x);
      const y = decodeArray(trace.y);
      trace.customdata.forEach((trial, point) => {
        if (isInside(x[point], xRange) && isInside(y[point], yRange)) trials.push(trial);
      });
    }
    return trials;
  };

  const listenToSelection = (plot) => {
    plot.on("plotly_selected", (event) => {
      if (!event) return;
      const markers = (event.points ?? []).flatMap((point) => trialsOfPoint(point.customdata));
      const trials = new Set([...markers, ...linesInBox(plot, event.range)]);
      if (trials.size) selection.replace(trials);
    });
    plot.on("plotly_deselect", () => selection.clear());
    plot.on("plotly_click", (event) => {
      const customdata = event.points[0]?.customdata;
      if (customdata === undefined) return;
      trialsOfPoint(customdata).forEach((trial) => selection.toggle(trial, true));
    });
  };

  const observer = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      if (!isIntersecting) {
        plotsNearScreen.delete(target);
        continue;
      }
      plotsNearScreen.add(target);
      if (!target.dataset.drawn || target.dataset.stale) draw(target);
    }
  }, { rootMargin: "400px" });
  plots.forEach((plot) => observer.observe(plot));

  const redraw = () => {
    for (const plot of plots.filter((other) => other.dataset.drawn)) {
      if (plotsNearScreen.has(plot)) {
        draw(plot);
      } else {
        plot.dataset.stale = "yes";  // drawn again when it comes near the screen
      }
    }
  };
  selection.onChange(redraw);
  darkTheme.addEventListener("change", redraw);
  let resizeTimer = 0;
  addEventListener("resize", () => {
    clearTimeout(resizeTimer);
    resizeTimer = setTimeout(redraw, 200);
  });
  addEventListener("beforeprint", () => { isPrinting = true; plots.forEach(draw); });
  addEventListener("afterprint", () => { isPrinting = false; plots.forEach(draw); });
})();
