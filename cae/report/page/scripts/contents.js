"use strict";
// The table of contents: folded away in narrow windows; marks the section at the top.
const contents = (() => {
  const details = document.getElementById("contents");
  const isNarrow = matchMedia("(max-width: 1179px)");  // as in page.css
  const fold = () => { details.open = !isNarrow.matches; };
  fold();
  isNarrow.addEventListener("change", fold);

  const markSection = (section) => {
    const link = details.querySelector(`a[href='#${section.id}']`);
    details.querySelector("[aria-current]")?.removeAttribute("aria-current");
    link.setAttribute("aria-current", "location");
    document.getElementById("current-section").textContent = link.textContent;
  };
  const observer = new IntersectionObserver((entries) => {
    entries.filter((entry) => entry.isIntersecting).forEach((entry) => markSection(entry.target));
  }, { rootMargin: "-20% 0px -79% 0px" });  // a line in the upper part of the window
  document.querySelectorAll("main > section").forEach((section) => observer.observe(section));
  return { fold };
})();
