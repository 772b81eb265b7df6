// Buttons that copy the text of another element.
"use strict";

(() => {
  const SHOWN_MS = 2000;

  async function copy(target) {
    if (navigator.clipboard) {
      await navigator.clipboard.writeText(target.textContent);
      return "Copied";
    }
    // Without https the page may not write to the clipboard: the text is selected instead.
    getSelection().selectAllChildren(target);
    return "Selected: press Ctrl+C";
  }

  for (const button of document.querySelectorAll("[data-copy]")) {
    const label = button.textContent;
    button.addEventListener("click", async () => {
      const target = document.querySelector(button.dataset.copy);
      try {
        button.textContent = await copy(target);
      } catch {
        // The browser refused the clipboard.
        getSelection().selectAllChildren(target);
        button.textContent = "Selected: press Ctrl+C";
      }
      setTimeout(() => {
        button.textContent = label;
      }, SHOWN_MS);
    });
  }
})();
