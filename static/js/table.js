// Selection of rows for the bulk action: all at once, and how many there are.
"use strict";

(() => {
  const form = document.getElementById("bulk");
  if (!form) return;
  const all = document.querySelector("[data-check-all]");
  const count = form.querySelector(".bulk-count");
  const boxes = [...document.querySelectorAll('input[name="ids"][form="bulk"]')];

  function show() {
    const chosen = boxes.filter((box) => box.checked).length;
    count.hidden = chosen === 0;
    count.textContent = String(chosen);
    if (all) {
      all.checked = chosen > 0 && chosen === boxes.length;
      all.indeterminate = chosen > 0 && chosen < boxes.length;
    }
  }

  all?.addEventListener("change", () => {
    for (const box of boxes) box.checked = all.checked;
    show();
  });
  for (const box of boxes) box.addEventListener("change", show);
  show();
})();
