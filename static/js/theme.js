// Sets the theme before the page is painted, and changes it by the theme menu.
// The choice is kept in the cookie fmd_theme under the panel's own path.
"use strict";

(() => {
  const root = document.documentElement;
  const themes = ["system", "light", "dark"];
  // This file is served from <panel>/static/js/theme.js.
  const panelPath = new URL("../..", document.currentScript.src).pathname;

  function saved() {
    const found = document.cookie.match(/(?:^|;\s*)fmd_theme=(\w+)/);
    return found && themes.includes(found[1]) ? found[1] : "system";
  }

  function show(theme) {
    root.dataset.theme = theme;
    for (const button of document.querySelectorAll("[data-set-theme]")) {
      button.setAttribute("aria-pressed", String(button.dataset.setTheme === theme));
    }
  }

  function choose(theme) {
    const secure = location.protocol === "https:" ? "; Secure" : "";
    document.cookie = `fmd_theme=${theme}; Path=${panelPath}; Max-Age=31536000; SameSite=Lax${secure}`;
    show(theme);
    document.dispatchEvent(new CustomEvent("fmd:theme"));
  }

  // Flask-Admin's base template leaves the language out.
  root.lang = root.lang || "en";
  root.dataset.js = "on";
  show(saved());
  document.addEventListener("DOMContentLoaded", () => show(saved()));
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-set-theme]");
    if (button) {
      choose(button.dataset.setTheme);
      const menu = button.closest("details");
      if (menu) {
        menu.open = false;
        // What is closed cannot keep the focus.
        menu.querySelector("summary").focus();
      }
    }
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    document.dispatchEvent(new CustomEvent("fmd:theme"));
  });
})();
