"use strict";
// Maps of the latent code: the test image of a point, beside the pointer. All maps of a part of the
// section share one image with all test images in tiles. Uses the event `drawn` of charts.js.
(() => {
  const SHOWN_PIXELS = 96;  // longest side of the shown image
  const OFFSET_PIXELS = 18;  // from the pointer
  let box = null;

  const createBox = () => {
    box = document.createElement("div");
    box.className = "map-image";
    box.setAttribute("aria-hidden", "true");
    box.hidden = true;
    document.body.append(box);
  };

  // The sheet of a chart: the chart of the second part has the name latent_map-2.
  const sheetOf = (plot) => {
    const suffix = /-\d+$/.exec(plot.dataset.chart)?.[0] ?? "";
    return document.getElementById("latent_code-sheet" + suffix);
  };

  const show = (sheet, number, pointer) => {
    const { tileWidth, tileHeight, columns } = sheet.dataset;
    const scale = SHOWN_PIXELS / Math.max(tileWidth, tileHeight);
    const [width, height] = [tileWidth * scale, tileHeight * scale];
    const left = (number % columns) * width;
    const top = Math.floor(number / columns) * height;
    const sheetWidth = sheet.getAttribute("width") * scale;
    const sheetHeight = sheet.getAttribute("height") * scale;
    if (box.dataset.sheet !== sheet.id) {
      box.style.backgroundImage = `url("${sheet.src}")`;
      box.dataset.sheet = sheet.id;
    }
    box.style.width = width + "px";
    box.style.height = height + "px";
    box.style.backgroundSize = `${sheetWidth}px ${sheetHeight}px`;
    box.style.backgroundPosition = `${-left}px ${-top}px`;
    const isNearRight = pointer.clientX + OFFSET_PIXELS + width > innerWidth;
    const x = isNearRight ? pointer.clientX - OFFSET_PIXELS - width : pointer.clientX + OFFSET_PIXELS;
    box.style.left = Math.max(0, x) + "px";
    box.style.top = Math.min(pointer.clientY + OFFSET_PIXELS, innerHeight - height) + "px";
    box.dataset.number = number;
    box.hidden = false;
  };

  document.addEventListener("drawn", ({ target: plot }) => {
    if (!plot.dataset.chart.startsWith("latent_")) return;
    const sheet = sheetOf(plot);
    if (!sheet) return;
    if (!box) createBox();
    plot.on("plotly_hover", ({ points, event }) => {
      const [point] = points;
      const first = point?.data.meta?.first;
      if (first === undefined) return;
      show(sheet, first + point.pointNumber, event);
    });
    plot.on("plotly_unhover", () => { box.hidden = true; });
  });
  addEventListener("scroll", () => { if (box) box.hidden = true; }, { passive: true });
})();
