{% include "tables.js" %}

/* What a reader can do with the page of runs: choose rows, and put two of them side by side. Without it everything else
   can be read. It takes what it needs from the page, and places texts only as texts. */
(() => {
  const form = document.getElementById("filters");
  if (!form) return;
  const every = document.getElementById("every");
  const told = JSON.parse(document.getElementById("told").textContent);
  const table = document.querySelector("#runs table");
  const rows = [...table.tBodies[0].rows];
  const courses = [...document.querySelectorAll(".course")];
  const entries = told.runs.flatMap((run) => run.rows.map((row) => ({ run, row })));
  const place = new Map(rows.map((row, number) => [row, number]));
  const boxes = [];
  const FEW = 300; /* rows which a browser lays out at once, also on a phone */
  let most = FEW;
  let chosen = [];

  function choose() {
    const wanted = [...form.querySelectorAll("select")].filter((select) => select.value !== "");
    const fits = ({ dataset }) => wanted.every(({ name, value }) => dataset[name].split(" ").includes(value));
    let fitting = 0;
    for (const row of table.tBodies[0].rows) {
      const fit = fits(row);
      fitting += fit;
      row.hidden = !fit || fitting > most;
    }
    for (const course of courses) course.hidden = !fits(course);
    const shown = courses.filter((course) => !course.hidden).length;
    const number = (value) => value.toLocaleString("en");
    const limited = fitting > most ? `; the first ${number(most)} of these are shown` : "";
    document.getElementById("count").textContent = `${number(fitting)} of ${number(rows.length)} rows chosen${limited}.`;
    const output = document.getElementById("courses");
    if (output) {
      output.textContent = `${number(shown)} of ${number(courses.length)} chosen.`;
      output.hidden = shown === courses.length;
    }
    every.hidden = fitting <= most;
  }

  function element(name, text = "", more = {}) {
    const made = document.createElement(name);
    made.textContent = text;
    for (const [key, value] of Object.entries(more)) made.setAttribute(key, value);
    return made;
  }

  /* Names and values of several lists of places: a Map from the place of a name to that of its value. */
  function joined(...lists) {
    const found = new Map();
    for (const list of lists)
      for (let at = 0; at < (list?.length ?? 0); at += 2) found.set(list[at], list[at + 1]);
    return found;
  }

  function differing(one, other, all) {
    return [...new Set([...one.keys(), ...other.keys()])]
      .map((name) => [name, one.get(name), other.get(name)])
      .filter(([, a, b]) => all || a !== b);
  }

  function body(title, found) {
    const made = element("tbody");
    const head = element("tr");
    head.append(element("th", found.length ? title : `${title}: no difference`, { colspan: "3", scope: "rowgroup" }));
    made.append(head);
    for (const [name, a, b] of found) {
      const row = element("tr");
      if (a !== b) row.className = "differs";
      row.append(element("th", told.texts[name], { scope: "row" }));
      for (const value of [a, b]) row.append(element("td", value === undefined ? "–" : told.texts[value]));
      made.append(row);
    }
    return made;
  }

  function heading(which, { run, row }) {
    const made = element("th", "", { scope: "col" });
    made.append(element("span", which), element("bdi", row.name), element("small", `${run.of}, ${run.run}`));
    return made;
  }

  function compare() {
    const output = document.getElementById("compared");
    document.getElementById("how").hidden = chosen.length === 2;
    document.getElementById("chosen").textContent = ["", "One row is chosen: choose another.", "Two rows are chosen."][chosen.length];
    if (chosen.length < 2) {
      output.replaceChildren();
      return;
    }
    const [one, other] = chosen.map((number) => entries[number]);
    const made = element("table");
    const head = element("thead");
    const names = element("tr");
    names.append(element("td"), heading("First", one), heading("Second", other));
    head.append(names);
    made.append(head);
    const parts = { "Asked for": ["asked", false], "Loaded and asked": ["loaded", false], Found: ["found", true] };
    for (const [title, [key, all]] of Object.entries(parts))
      made.append(body(title, differing(joined(one.run[key], one.row[key]), joined(other.run[key], other.row[key]), all)));
    const region = element("div", "", { class: "scroll", role: "region", tabindex: "0", "aria-label": "Table of two rows side by side" });
    region.append(made);
    const lines = [region];
    if (one.run !== other.run) {
      const more = element("p", "Every key of both specs: ");
      more.append(element("code", `toxaudit diff ${one.run.command} ${other.run.command}`));
      lines.push(more);
    }
    if ([one, other].some(({ run, row }) => !run.asked || !row.found))
      lines.unshift(element("p", "There are too many runs for this page to hold all of what they say: toxaudit diff prints it.", { class: "warning" }));
    output.replaceChildren(...lines);
  }

  function pick(numbers) {
    chosen = numbers;
    boxes.forEach((box, number) => {
      box.checked = chosen.includes(number);
    });
    compare();
  }

  function show() {
    const target = document.getElementById("beside");
    target.focus({ preventScroll: true });
    target.scrollIntoView();
  }

  function offerToCompare() {
    const head = element("th", "Compare", { scope: "col" });
    table.tHead.rows[0].append(head);
    rows.forEach((row, number) => {
      const cell = element("td", "", { "data-label": "Compare" });
      const label = element("label", "", { class: "check" });
      const box = element("input", "", { type: "checkbox", "aria-label": `Compare ${entries[number].row.name} of ${entries[number].run.run}` });
      box.addEventListener("change", () => {
        const others = chosen.filter((each) => each !== number);
        pick(box.checked ? [...others.slice(-1), number] : others);
        if (chosen.length === 2) show();
      });
      boxes.push(box);
      label.append(box);
      cell.append(label);
      if (row.dataset.before !== "") {
        const button = element("button", "and the run before", { type: "button", "aria-label": `Compare ${entries[number].row.name} of ${entries[number].run.run} with the run before` });
        button.addEventListener("click", () => {
          pick([Number(row.dataset.before), number]);
          show();
        });
        cell.append(button);
      }
      row.append(cell);
    });
  }

  /* The numbers of a picture, which its points are titled by, as a table that is made when it is asked for. */
  function offerNumbers() {
    for (const figure of document.querySelectorAll("figure")) {
      const details = element("details");
      details.append(element("summary", "Numbers"));
      details.addEventListener("toggle", () => {
        if (details.querySelector("table")) return;
        const name = `Table of ${figure.querySelector("figcaption").textContent}`;
        const region = element("div", "", { class: "scroll", role: "region", tabindex: "0", "aria-label": name });
        const made = element("table");
        const head = element("thead");
        head.append(element("tr"));
        for (const each of ["Date", "Base", "Candidate", "Change", "Result"]) head.rows[0].append(element("th", each, { scope: "col" }));
        const numbers = element("tbody");
        for (const { textContent } of figure.querySelectorAll("svg title")) {
          const row = element("tr");
          for (const part of textContent.split(" · ")) row.append(element("td", part));
          numbers.append(row);
        }
        made.append(head, numbers);
        region.append(made);
        details.append(region);
      });
      figure.append(details);
    }
  }

  const restore = tables.sortable(table, choose);
  offerToCompare();
  offerNumbers();
  form.addEventListener("change", choose);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(() => { /* after the fields have been emptied */
    most = FEW;
    restore();
    choose();
  }));
  every.addEventListener("click", () => {
    most = Infinity;
    choose();
    document.querySelector("#runs .scroll").focus(); /* for this button is gone now */
  });
  form.hidden = false;
  choose();
})();
