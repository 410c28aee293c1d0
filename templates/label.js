"use strict";
(() => {
  const sheet = document.getElementById("sheet"), items = [...document.querySelectorAll(".item")];
  const count = document.getElementById("count"), saved = document.getElementById("saved");
  const choices = [...document.querySelectorAll("[data-label]")];
  const back = document.getElementById("back"), on = document.getElementById("on"), save = document.getElementById("save");
  const name = "toxaudit-labels-" + sheet.dataset.name;
  const labels = new Map();
  let place = 0, unsaved = false;

  const kept = () => { try { return window.localStorage; } catch { return null; } };  // a browser may forbid it
  const words = choices.map((each) => each.dataset.label);

  function recall() {
    try {
      const told = JSON.parse(kept()?.getItem(name) ?? "{}");
      for (const each of items) {
        if (words.includes(told[each.dataset.key])) labels.set(each.dataset.key, told[each.dataset.key]);
      }
    } catch { /* what was kept is no longer of use */ }
  }

  function keep() {
    try { kept()?.setItem(name, JSON.stringify(Object.fromEntries(labels))); } catch { /* full: the CSV is what counts */ }
  }

  function show(at, focus = true) {
    place = Math.min(Math.max(at, 0), items.length - 1);
    items.forEach((each, number) => { each.hidden = number !== place; });
    const mine = labels.get(items[place].dataset.key);
    choices.forEach((each) => each.setAttribute("aria-pressed", String(each.dataset.label === mine)));
    back.disabled = place === 0;
    on.disabled = place === items.length - 1;
    const rest = items.length - labels.size;
    count.textContent = `Answer ${place + 1} of ${items.length}; ${labels.size} labelled` +
      (rest ? "" : ". All are labelled: save the labels.");
    items[place].querySelectorAll(".text").forEach((each) => {
      each.scrollTop = 0;
      if (each.scrollHeight > each.clientHeight) each.tabIndex = 0;
    });
    if (focus) items[place].focus({ preventScroll: true });
    window.scrollTo(0, 0);
  }

  function label(word) {
    labels.set(items[place].dataset.key, word);
    unsaved = true;
    saved.textContent = "";
    keep();
    show(place + 1);
  }

  function write() {
    const rows = items.filter((each) => labels.has(each.dataset.key))
      .map((each) => `${each.dataset.key},${labels.get(each.dataset.key)}\r\n`);
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob(["answer,label\r\n", ...rows], { type: "text/csv" }));
    link.download = "labels.csv";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
    unsaved = false;
    saved.textContent = `Saved ${rows.length} labels as labels.csv.`;
  }

  choices.forEach((each) => each.addEventListener("click", () => label(each.dataset.label)));
  back.addEventListener("click", () => show(place - 1));
  on.addEventListener("click", () => show(place + 1));
  save.addEventListener("click", write);
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
    const key = event.key.toLowerCase();
    const word = { y: "yes", n: "no", s: "skip" }[key];
    if (word) label(word);
    else if (key === "b" || key === "arrowleft") show(place - 1);
    else if (key === "arrowright") show(place + 1);
    else return;
    event.preventDefault();
  });
  window.addEventListener("beforeunload", (event) => { if (unsaved) event.preventDefault(); });

  recall();
  sheet.hidden = false;
  const open = items.findIndex((each) => !labels.has(each.dataset.key));
  show(open < 0 ? items.length - 1 : open, false);
})();
