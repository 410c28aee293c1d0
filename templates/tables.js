/* What a reader can do with any table of the page: sort it by a column where it is sortable, and save it as CSV. */
"use strict";
const tables = (() => {
  const collator = new Intl.Collator("en", { numeric: true });
  const NUMBER = /^-?\d+(\.\d+)?(e[+-]?\d+)?$/i;
  const FORMULA = /^[\s\u00a0]*[=+\-@\uff1d\uff0b\uff0d\uff20]|^[\t\r\n]/; /* what a spreadsheet would compute */

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
    const body = table.tBodies[0];
    const descending = heading.getAttribute("aria-sort") === "ascending";
    const keyed = [...body.rows].map((row) => ({ row, key: key(row.cells[column]) }));
    keyed.sort(({ key: a }, { key: b }) => {
      if (Number.isNaN(a) || Number.isNaN(b)) return Number.isNaN(a) - Number.isNaN(b);
      const order = typeof a === "string" ? collator.compare(a, b) : a - b;
      return descending ? -order : order;
    });
    place(body, keyed.map(({ row }) => row));
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", descending ? "descending" : "ascending");
  }

  /* Let each column that is not marked otherwise be sorted by; `after` is told. What is returned restores the order. */
  function sortable(table, after) {
    const body = table.tBodies[0];
    const rows = [...body.rows];
    const headings = [...table.tHead.rows[0].cells];
    for (const heading of headings) {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...heading.childNodes);
      heading.append(button);
      button.addEventListener("click", () => {
        sort(table, heading);
        after();
      });
    }
    return () => {
      place(body, rows);
      for (const heading of headings) heading.removeAttribute("aria-sort");
    };
  }

  /* Words of a cell on one line, where parts that stand below each other are parted by a space. */
  function words(cell) {
    const parts = [];
    const walk = document.createTreeWalker(cell, NodeFilter.SHOW_TEXT);
    while (walk.nextNode()) parts.push(walk.currentNode.textContent);
    return parts.join(" ").replace(/\s+/g, " ").trim();
  }

  /* The bounds of an interval such as [−1.3, 1.8], which stand in percent, as shares of 1. */
  function bounds(text) {
    const found = text.replaceAll("\u2212", "-").match(/-?\d+(\.\d+)?/g) ?? [];
    return found.length === 2 ? found.map((each) => String(Number((Number(each) / 100).toPrecision(6)))) : ["", ""];
  }

  /* Rows of texts: a number as the plain number that it is sorted by, and its interval in two columns of its own. */
  function content(table) {
    const rows = [...table.tBodies].flatMap((body) => [...body.rows]);
    const heads = [...table.tHead.rows[0].cells];
    const within = (row, column) => row.cells[column]?.querySelector("small");
    const plain = (row, column) => row.cells[column]?.dataset.sort !== undefined;
    const wide = heads.map((_, column) => rows.some((row) => plain(row, column) && within(row, column)));
    const told = rows.map((row) =>
      [...row.cells].flatMap((cell, column) => {
        const value = cell.dataset.sort ?? words(cell);
        return wide[column] ? [value, ...bounds(within(row, column)?.textContent ?? "")] : [value];
      }));
    return [heads.flatMap((head, column) => (wide[column] ? ["", ", low", ", high"] : [""]).map((end) => words(head) + end)), ...told];
  }

  function field(text) {
    const harmless = !NUMBER.test(text) && FORMULA.test(text) ? `'${text}` : text;
    return `"${harmless.replaceAll('"', '""')}"`;
  }

  /* Save rows of texts as a file. */
  function save(name, rows) {
    const link = document.createElement("a");
    const lines = rows.map((row) => row.map(field).join(",") + "\r\n");
    link.href = URL.createObjectURL(new Blob(["\ufeff", ...lines], { type: "text/csv" }));
    link.download = `${name.toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "").slice(0, 60)}.csv`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  }

  /* Below each table that scrolls, a button that saves all of it. */
  function offer() {
    for (const region of document.querySelectorAll(".scroll")) {
      const table = region.querySelector("table");
      if (!table || !table.tHead) continue;
      const name = (region.getAttribute("aria-label") ?? "table").replace(/^Table(:| of) /, "");
      const button = document.createElement("button");
      button.type = "button";
      button.className = "save";
      button.textContent = "CSV";
      button.setAttribute("aria-label", `CSV of ${name}`);
      button.addEventListener("click", () => save(name, content(table)));
      region.after(button);
    }
  }

  return { sortable, save, offer };
})();
