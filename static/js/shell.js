// Drop-down menus close on Escape and on a click beside them; selects marked with
// data-submit send their form, and forms marked with data-go-on are sent by themselves. Without
// JavaScript all of them still work by hand.
"use strict";

(() => {
  const openMenus = () => document.querySelectorAll("details.menu[open]");

  document.addEventListener("click", (event) => {
    for (const menu of openMenus()) {
      if (!menu.contains(event.target)) menu.open = false;
    }
  });

  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    for (const menu of openMenus()) {
      menu.open = false;
      menu.querySelector("summary").focus();
    }
  });

  // On a phone the tabs scroll: the one that is open must be in sight.
  const tab = document.querySelector(".tabs > [aria-current]");
  if (tab) tab.parentElement.scrollLeft = tab.offsetLeft - (tab.parentElement.clientWidth - tab.offsetWidth) / 2;

  // A deletion of many rows takes several requests.
  document.querySelector("form[data-go-on]")?.requestSubmit();

  document.addEventListener("change", (event) => {
    if (event.target.matches("[data-submit]")) event.target.form.requestSubmit();
  });
})();
