"use strict";
// Links to sections, buttons that copy a command, and reloading a page that is being served.
addEventListener("hashchange", () => selection.start());
document.addEventListener("click", (event) => {
  const id = event.target.closest?.("a[href^='#']")?.getAttribute("href").slice(1);
  if (!id) return;
  event.preventDefault();
  selection.change({ section: id });
  contents.fold();
  const section = showSection(id);
  section?.setAttribute("tabindex", "-1");
  section?.focus({ preventScroll: true });
});

for (const button of document.querySelectorAll(".copy")) {
  button.addEventListener("click", async () => {
    const code = button.previousElementSibling;
    getSelection().selectAllChildren(code);
    try {
      await navigator.clipboard.writeText(code.textContent);
      button.textContent = "Copied";
    } catch {  // the clipboard is not available
      button.textContent = "Selected";
    }
  });
}

// `cae-sweep report --watch` serves the page with a version. A newer version is loaded when no
// mouse button is pressed; the address keeps the selection.
(() => {
  const version = document.documentElement.dataset.version;
  if (!version) return;
  let isPressed = false;
  addEventListener("pointerdown", () => { isPressed = true; });
  addEventListener("pointerup", () => { isPressed = false; });
  const newestVersion = async () => {
    try {
      const response = await fetch("version");
      return response.ok ? await response.text() : version;
    } catch {  // the server was stopped
      return version;
    }
  };
  setInterval(async () => {
    if (await newestVersion() !== version && !isPressed) location.reload();
  }, 2000);
})();
