{% include "tables.js" %}

{% include "samples.js" %}

/* What a reader can do with the report: choose rows and samples. Without it everything can be read. It takes what it
   needs from the page, and only moves, hides and counts what is there. */
(() => {
  const form = document.getElementById("filters");
  const others = document.getElementById("others");
  const every = document.getElementById("every");
  const FEW = 500; /* rows which a browser lays out at once, also on a phone */
  let most = FEW;
  const restores = [...document.querySelectorAll("table.sortable")].map((table) => tables.sortable(table, choose));

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
        const fit = fits(item) && (!item.matches(".sample") || samples.fits(item));
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
    samples.clear();
    for (const each of restores) each();
    choose();
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
  tables.offer();
  choose();
  samples.offer(choose);

  /* The part that is read is marked in the contents. */
  const links = new Map([...document.querySelectorAll("nav a")].map((link) => [link.hash.slice(1), link]));
  const parts = [...links.keys()].map((name) => document.getElementById(name)).filter(Boolean);
  function mark() {
    const above = parts.filter((part) => part.getBoundingClientRect().top < innerHeight / 3);
    const here = links.get((above.at(-1) ?? parts[0])?.id);
    for (const link of links.values()) link.toggleAttribute("aria-current", link === here);
    if (here) here.setAttribute("aria-current", "true");
  }
  let waiting = false;
  addEventListener("scroll", () => {
    if (!waiting) requestAnimationFrame(() => { mark(); waiting = false; });
    waiting = true;
  }, { passive: true });
  mark();
})();
