// What Flask-Admin's templates do with inline handlers, which our content security policy forbids:
// bulk actions, questions before deleting, inline forms and modal windows. One delegated script.
"use strict";

(() => {
  const DELETE_QUESTION = "Are you sure you want to delete this record?";

  function clicked(event) {
    const target = event.target.closest("a, button");
    if (!target) return;
    // These links only stand for a button; following them would be reported as a violation.
    const href = target.getAttribute("href") ?? "";
    if (href.startsWith("javascript:") || (href === "#" && target.role === "button")) {
      event.preventDefault();
    }

    if (target.dataset.confirm !== undefined && target.form) {
      event.preventDefault();
      if (window.confirm(target.dataset.confirm || DELETE_QUESTION)) {
        target.form.dataset.confirmed = "yes";
        target.form.requestSubmit();
      }
    } else if (target.dataset.bulkAction !== undefined) {
      event.preventDefault();
      window.modelActions.execute(target.dataset.bulkAction);
    } else if (target.dataset.addInline !== undefined) {
      event.preventDefault();
      window.faForm.addInlineField(target, target.dataset.addInline);
    }
  }

  // Templates of other views may still have the old delete buttons, whose handler is blocked:
  // their forms carry the class "icon".
  function submitted(event) {
    const form = event.target;
    if (!form.matches("form.icon") || form.dataset.confirmed === "yes") return;
    if (!window.confirm(DELETE_QUESTION)) event.preventDefault();
  }

  function filterDetails(event) {
    const modal = event.target.closest(".modal-content");
    if (event.target.id !== "fa_filter" || !modal) return;
    const wanted = event.target.value.toLowerCase();
    for (const row of modal.querySelectorAll(".searchable tr")) {
      row.hidden = !row.textContent.toLowerCase().includes(wanted);
    }
  }

  function styleModals() {
    for (const modal of document.querySelectorAll(".modal-content")) {
      new MutationObserver(() => window.faForm?.applyGlobalStyles(modal)).observe(modal, {
        childList: true,
      });
    }
  }

  document.addEventListener("click", clicked);
  document.addEventListener("submit", submitted);
  document.addEventListener("input", filterDetails);
  styleModals();
})();
