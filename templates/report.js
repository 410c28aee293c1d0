/* What a reader can do with the report's tables: sort them by any column, and choose rows and samples. Without it
   everything can be read. It takes what it needs from the page, and only moves, hides and counts what is there. */
"use strict";
(() => {
  const collator = new Intl.Collator("en", { numeric: true });
  const form = document.getElementById("filters");
  const others = document.getElementById("others");
  const every = document.getElementById("every");
  const FEW = 500; /* rows which a browser lays out at once, also on a phone */
  let most = FEW;
  const tables = [...document.querySelectorAll("table.sortable")].map((table) => ({
    body: table.tBodies[0],
    headings: [...table.tHead.rows[0].cells],
    rows: [...table.tBodies[0].rows],
  }));

  /* A cell's number where it has one, NaN where that is missing; else its text. */
  function key(cell) {
    const { sort } = cell.dataset;
    if (sort === undefined) return cell.textContent.trim();
    return sort === "" ? NaN : Number(sort);
  }

  function place(body, rows) {
    const fragment = document.createDocumentFragment();
    for (const row of rows) fragment.append(row);
    body.append(fragment);
  }

  /* Rows that are equal keep their order, so that sorting by one column and then by another sorts by both. */
  function sort(table, heading) {
    const column = heading.cellIndex;
    const descending = heading.getAttribute("aria-sort") === "ascending";
    const keyed = [...table.body.rows].map((row) => ({ row, key: key(row.cells[column]) }));
    keyed.sort(({ key: a }, { key: b }) => {
      if (Number.isNaN(a) || Number.isNaN(b)) return Number.isNaN(a) - Number.isNaN(b);
      const order = typeof a === "string" ? collator.compare(a, b) : a - b;
      return descending ? -order : order;
    });
    place(table.body, keyed.map(({ row }) => row));
    for (const other of table.headings) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", descending ? "descending" : "ascending");
    choose();
  }

  function choose() {
    const chosen = [...form.querySelectorAll("select")].filter((select) => select.value !== "");
    const fits = ({ dataset }) =>
      (others.checked || !("other" in dataset)) &&
      chosen.every(({ name, value }) => !(name in dataset) || dataset[name].split(" ").includes(value));
    let cut = false;
    for (const output of document.querySelectorAll(".count")) {
      const items = document.querySelectorAll(`#${output.dataset.of} [data-suite]`);
      let fitting = 0;
      for (const item of items) {
        const fit = fits(item);
        fitting += fit;
        item.hidden = !fit || fitting > most;
      }
      const [found, all, first] = [fitting, items.length, most].map((number) => number.toLocaleString("en"));
      const limited = fitting > most ? `; the first ${first} of these are shown` : "";
      output.textContent = `${found} of ${all} ${output.dataset.noun} chosen${limited}.`;
      output.hidden = fitting === items.length && output.getAttribute("role") !== "status";
      cut ||= fitting > most;
    }
    every.hidden = !cut;
    for (const details of document.querySelectorAll("#samples > details"))
      details.hidden = !details.querySelector("[data-suite]:not([hidden])");
  }

  function restore() {
    most = FEW;
    for (const { body, headings, rows } of tables) {
      place(body, rows);
      for (const heading of headings) heading.removeAttribute("aria-sort");
    }
    choose();
  }

  for (const table of tables)
    for (const heading of table.headings) {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...heading.childNodes);
      heading.append(button);
      button.addEventListener("click", () => sort(table, heading));
    }
  form.addEventListener("change", choose);
  every.addEventListener("click", () => {
    most = Infinity;
    choose();
    document.querySelector("#estimates .scroll").focus(); /* for this button is gone now */
  });
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(restore)); /* after the fields have been emptied */
  form.hidden = false;
  choose();
})();
