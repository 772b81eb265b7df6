// The level control: its buttons submit a real form. Here the form is sent with fetch, so that
// the page stays where it is, and the four buttons become one stop of the Tab key: arrow keys
// move between them, Enter and Space press one, 0 to 3 choose at once.
"use strict";

(() => {
  const status = document.getElementById("level-status");
  const buttonsOf = (form) => [...form.querySelectorAll("button[name=level]")];

  function mark(form, level) {
    for (const button of buttonsOf(form)) {
      const chosen = button.value === String(level);
      button.setAttribute("aria-pressed", String(chosen));
      button.tabIndex = chosen ? 0 : -1;
    }
  }

  function chosen(form) {
    return buttonsOf(form).find((button) => button.getAttribute("aria-pressed") === "true")?.value;
  }

  function tell(form, text, failed) {
    form.classList.toggle("failed", failed);
    if (failed) form.title = text;
    else form.removeAttribute("title");
    if (status) status.textContent = text;
  }

  async function send(form, level) {
    const body = new FormData(form);
    body.set("level", level);
    const response = await fetch(form.action, {
      method: "POST",
      body,
      headers: { Accept: "application/json" },
    });
    const json = response.headers.get("Content-Type")?.startsWith("application/json");
    // A session that ended is answered with the login page: load this one again to get there.
    if (response.redirected || response.status === 401) location.reload();
    if (!response.ok || !json) {
      const message = json ? (await response.json()).message : `HTTP ${response.status}`;
      throw new Error(message);
    }
  }

  // The newest choice of a control that is still being sent; only the last one counts.
  const waiting = new Map();

  async function set(form, level) {
    waiting.set(form, level);
    if (form.getAttribute("aria-busy") === "true") return;
    let stored = chosen(form);
    form.setAttribute("aria-busy", "true");
    while (waiting.has(form)) {
      const wanted = waiting.get(form);
      waiting.delete(form);
      mark(form, wanted);
      try {
        await send(form, wanted);
        stored = wanted;
        tell(form, `Level of ${form.dataset.name} is now ${wanted}.`, false);
      } catch (error) {
        mark(form, stored);
        tell(form, `Level of ${form.dataset.name} was not changed: ${error.message}`, true);
      }
    }
    form.removeAttribute("aria-busy");
  }

  for (const form of document.querySelectorAll("form.levels")) {
    mark(form, chosen(form));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      set(form, event.submitter.value);
    });
    form.addEventListener("keydown", (event) => {
      const buttons = buttonsOf(form);
      const here = buttons.indexOf(document.activeElement);
      const steps = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1 };
      let next = null;
      if (event.key in steps) next = (here + steps[event.key] + buttons.length) % buttons.length;
      else if (event.key === "Home") next = 0;
      else if (event.key === "End") next = buttons.length - 1;
      else if (/^[0-3]$/.test(event.key) && !event.ctrlKey && !event.metaKey && !event.altKey) {
        next = Number(event.key);
        set(form, event.key);
      }
      if (next === null) return;
      event.preventDefault();
      buttons[next].focus();
    });
  }
})();
