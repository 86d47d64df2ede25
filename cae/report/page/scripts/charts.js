"use strict";
// Charts: drawn when they come near the screen, in the colors of the reader's theme, with the
// selected trials highlighted. Uses `selection` and `unpack` of selection.js.
(() => {
  const PANEL_GAP = 64;  // pixels, as in figures/style.py
  const MIN_PANEL_WIDTH = 300;
  const CHARACTER_WIDTH = 6.5;  // pixels, of the labels of axes
  const AXIS_DISTANCE = 72;  // pixels between parallel axes below one another
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

  // Arrange the panels of a figure in as many columns as fit into `width` pixels. The figure itself
  // is arranged for 1000 pixels (figures/style.py).
  const arrangePanels = (layout, width) => {
    const { panels, columns: maxColumns, panel_height: rowHeight, shares_y: sharesY } = layout.meta;
    if (panels <= 1) return;
    const fittingColumns = Math.floor(width / MIN_PANEL_WIDTH);
    const columns = Math.max(1, Math.min(maxColumns, fittingColumns));
    const rows = Math.ceil(panels / columns);
    const height = rows * rowHeight;
    // Plotly's domains are shares of the width and the height, from the bottom left.
    const columnGap = PANEL_GAP / width;
    const rowGap = PANEL_GAP / height;
    const panelWidth = (1 - columnGap * (columns - 1)) / columns;
    const panelHeight = (1 - rowGap * (rows - 1)) / rows;
    for (let panel = 0; panel < panels; panel++) {
      const column = panel % columns;
      const row = Math.floor(panel / columns);
      const left = column * (panelWidth + columnGap);
      const top = 1 - row * (panelHeight + rowGap);
      const suffix = panel === 0 ? "" : String(panel + 1);  // xaxis, xaxis2, xaxis3, ...
      const yAxis = layout["yaxis" + suffix];
      layout["xaxis" + suffix].domain = [left, left + panelWidth];
      yAxis.domain = [Math.max(0, top - panelHeight), top];
      if (sharesY && column > 0) yAxis.title.text = "";  // named at the first panel of the row
    }
    layout.height = height;
  };

  // In a chart that is too narrow for the labels beside its rows, draw them above their rows, so that
  // the data has the whole width.
  const raiseRowLabels = (layout, width) => {
    const { row_labels: hasRowLabels, min_width: minWidth } = layout.meta;
    if (!hasRowLabels || width >= minWidth) return;
    const maxCharacters = Math.floor(width / CHARACTER_WIDTH);
    const shorten = (text) => {
      const characters = text.match(/&\w+;|./gsu) ?? [];
      if (characters.length <= maxCharacters) return text;
      return characters.slice(0, maxCharacters - 1).join("") + "…";
    };
    layout.annotations = [...(layout.annotations ?? [])];
    for (const [name, axis] of Object.entries(layout)) {
      if (!name.startsWith("yaxis")) continue;
      axis.showticklabels = false;
      axis.ticktext.forEach((text, row) => layout.annotations.push({
        text: shorten(text),
        font: { size: 11 },
        xref: "paper", x: 0, xanchor: "left",
        yref: name.replace("axis", ""), y: axis.tickvals[row], yanchor: "bottom",
        yshift: 3,
        showarrow: false,
        bgcolor: "rgba(0,0,0,0)",
      }));
    }
    layout.margin = { ...layout.margin, l: 8 };
  };

  // Draw parallel coordinates that are too wide with their axes below one another: x and y change
  // places. The axes then have their names above, and their ticks below, as many as fit.
  const stackParallelAxes = ({ data, layout }, width) => {
    const { parallel_axes: hasParallelAxes, min_width: minWidth } = layout.meta;
    if (!hasParallelAxes || width >= minWidth) return;
    for (const trace of data) [trace.x, trace.y] = [trace.y, trace.x];
    for (const line of layout.shapes ?? []) {
      [line.x0, line.x1, line.y0, line.y1] = [line.y0, line.y1, line.x0, line.x1];
    }
    const names = layout.xaxis;
    const values = layout.yaxis;
    const count = names.tickvals.length;
    layout.xaxis = { ...values, range: [Math.min(-0.04, values.range[0]), 1.04] };
    layout.yaxis = { visible: false, range: [count - 0.5, -0.5], fixedrange: true };
    layout.margin = { ...layout.margin, l: 12, r: 12, b: 8 };
    layout.height = AXIS_DISTANCE * count + 60;
    const pixels = (width - 24) / (layout.xaxis.range[1] - layout.xaxis.range[0]);
    const ends = {};  // of the last label of each axis, in pixels
    const ticks = (layout.annotations ?? [])
      .map(({ x, y, text, font }) => ({ x: y, y: x, text, font, showarrow: false }))
      .sort((first, second) => first.x - second.x)
      .filter((tick) => {
        const halfWidth = tick.text.length * CHARACTER_WIDTH / 2;
        if (tick.x * pixels - halfWidth < (ends[tick.y] ?? -Infinity)) return false;
        ends[tick.y] = tick.x * pixels + halfWidth + CHARACTER_WIDTH;
        return true;
      })
      .map((tick) => ({ ...tick, yanchor: "top", yshift: -2 }));
    const titles = names.ticktext.map((text, axis) => ({
      text: text.replaceAll("<br>", ""),
      font: { size: 12 },
      x: layout.xaxis.range[0], xanchor: "left",
      y: axis, yanchor: "bottom", yshift: 2,
      showarrow: false,
    }));
    layout.annotations = [...titles, ...ticks];
  };

  // Leave out labels of a logarithmic x axis that would overlap: plotly draws all labels of a list.
  const thinTicks = (layout, width) => {
    for (const [name, axis] of Object.entries(layout)) {
      if (!name.startsWith("xaxis") || axis.type !== "log" || !axis.ticktext) continue;
      const [start, end] = axis.domain ?? [0, 1];
      const longest = Math.max(...axis.ticktext.map((text) => text.length));
      const fitting = Math.floor((end - start) * width / ((longest + 2) * CHARACTER_WIDTH));
      const step = Math.ceil(axis.ticktext.length / Math.max(1, fitting));
      axis.ticktext = axis.ticktext.filter((_, tick) => tick % step === 0);
      axis.tickvals = axis.tickvals.filter((_, tick) => tick % step === 0);
    }
  };

  // Load plotly.js once: it is in the page, compressed.
  let libraryLoaded = null;
  const loadLibrary = () => {
    libraryLoaded ??= unpack("library").then((source) => {
      const script = document.createElement("script");
      script.textContent = source;
      document.head.append(script);
    });
    return libraryLoaded;
  };

  // plotly.py writes arrays of numbers as base64 of their bytes (bdata), with numpy's name of their
  // type (dtype).
  const ARRAY_TYPES = {
    f4: Float32Array, f8: Float64Array, i1: Int8Array, i2: Int16Array, i4: Int32Array, u1: Uint8Array,
  };
  const decodeArray = (array) => {
    if (!array?.bdata) return array;
    const bytes = Uint8Array.from(atob(array.bdata), (character) => character.charCodeAt(0));
    return new ARRAY_TYPES[array.dtype](bytes.buffer);
  };
  // `customdata` of a point: its trial, or all trials of which it is the mean (over seeds).
  const trialsOfPoint = (customdata) => (Array.isArray(customdata) ? customdata : [customdata]);

  // Fade markers with plotly's own selection of points.
  const fadeMarkers = (trace, isHighlighted) => {
    const points = isHighlighted.map((_, point) => point);
    const selectedpoints = points.filter((point) => isHighlighted[point]);
    return { ...trace, selectedpoints, unselected: { marker: { opacity: 0.1 } } };
  };

  // Plotly cannot fade parts of a line: draw a pale copy of the whole trace, and over it the
  // highlighted lines. A null is a gap in a line.
  const fadeLines = (trace, isHighlighted) => {
    const values = [...decodeArray(trace.y)];
    const y = values.map((value, point) => (isHighlighted[point] ? value : null));
    return [
      { ...trace, opacity: 0.08, hoverinfo: "skip" },
      { ...trace, y, opacity: 1, showlegend: false },
    ];
  };

  // Fade the trials that are not selected.
  const highlightSelection = (traces) => {
    const highlighted = selection.highlighted();
    if (!highlighted) return traces;
    return traces.flatMap((trace) => {
      if (!trace.customdata) return [trace];
      const isHighlighted = trace.customdata.map(
        (customdata) => trialsOfPoint(customdata).some((trial) => highlighted.has(trial)));
      if (trace.mode === "markers") return [fadeMarkers(trace, isHighlighted)];
      return fadeLines(trace, isHighlighted);
    });
  };

  let isPrinting = false;
  const plots = [...document.querySelectorAll(".plot")];
  const plotsNearScreen = new Set();
  // The figure of a chart, for the width of the window.
  const readFigure = (plot) => {
    const figure = JSON.parse(document.getElementById(plot.dataset.chart + "-data").textContent);
    stackParallelAxes(figure, plot.parentElement.clientWidth);
    return figure;
  };

  const draw = async (plot) => {
    const isDark = darkTheme.matches && !isPrinting;
    await loadLibrary();
    const { data, layout } = readFigure(plot);
    const { min_width: minWidth, row_labels: hasRowLabels, parallel_axes: hasParallelAxes } = layout.meta;
    const scrolls = minWidth && !hasRowLabels && !hasParallelAxes;
    plot.style.minWidth = scrolls ? minWidth + "px" : "";
    arrangePanels(layout, plot.clientWidth);
    raiseRowLabels(layout, plot.clientWidth);
    thinTicks(layout, plot.clientWidth);
    plot.style.height = layout.height + "px";
    const showsTrials = data.some((trace) => trace.customdata);
    const settings = {
      template: template(isDark),
      autosize: true,
      dragmode: showsTrials ? "select" : "zoom",
      uirevision: "constant",  // a redrawn chart keeps its zoom
      selections: [],  // remove the box of the last selection: the selection may have changed
    };
    await Plotly.react(plot, highlightSelection(data), { ...layout, ...settings }, config);
    const isFirstTime = !plot.dataset.drawn;
    if (isFirstTime && showsTrials) listenToSelection(plot);
    if (isFirstTime) plot.dispatchEvent(new CustomEvent("drawn", { bubbles: true }));
    plot.dataset.drawn = "yes";
    delete plot.dataset.stale;
  };

  // The trials whose lines have a point in a box: plotly itself only selects markers.
  const trialsOfLinesInBox = (plot, ranges) => {
    const trials = [];
    const isInside = (value, [start, end]) =>
      value >= Math.min(start, end) && value <= Math.max(start, end);
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
      if (!event) return;  // the box was removed
      const points = event.points ?? [];
      const trialsOfMarkers = points.flatMap((point) => trialsOfPoint(point.customdata));
      const trials = new Set([...trialsOfMarkers, ...trialsOfLinesInBox(plot, event.range)]);
      if (trials.size) selection.replace(trials);
    });
    plot.on("plotly_deselect", () => selection.clear());
    plot.on("plotly_click", (event) => {
      const customdata = event.points[0]?.customdata;
      if (customdata === undefined) return;  // not a point of a trial
      const onlySelected = true;
      trialsOfPoint(customdata).forEach((trial) => selection.toggle(trial, onlySelected));
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
    for (const plot of plots) {
      if (!plot.dataset.drawn) continue;
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
  const drawAll = () => plots.forEach((plot) => draw(plot));
  addEventListener("beforeprint", () => {
    isPrinting = true;  // in light colors
    drawAll();
  });
  addEventListener("afterprint", () => {
    isPrinting = false;
    drawAll();
  });
})();
