/* What a reader can do with the samples: search them, read them one by one, share a link to one, and save them. */
const samples = (() => {
  const section = document.getElementById("samples");
  const all = section ? [...section.querySelectorAll(".sample")] : [];
  const texts = new Map();
  const NAME = /^#pair-[0-9a-f]{12}$/;
  let search, dialog, title, shown, warning, link, status;
  let sequence = all;
  let at = 0;
  let warned = false;

  function element(name, text = "", more = {}) {
    const made = document.createElement(name);
    made.textContent = text;
    for (const [key, value] of Object.entries(more)) made.setAttribute(key, value);
    return made;
  }

  function button(text, act, more = {}) {
    const made = element("button", text, { type: "button", ...more });
    made.addEventListener("click", act);
    return made;
  }

  /* Whether a sample holds what is searched for, in its prompt, its answers, its measure or its groups. */
  function fits(sample) {
    const wanted = search ? search.value.trim().toLowerCase() : "";
    if (!wanted) return true;
    if (!texts.has(sample)) texts.set(sample, sample.textContent.toLowerCase());
    return texts.get(sample).includes(wanted);
  }

  function name(sample) {
    return `#${sample.querySelector("h3").dataset.pair}`;
  }

  function candidate(sample) {
    return sample.closest("details").querySelector("summary bdi").textContent;
  }

  function point(hash) {
    try {
      history.replaceState(null, "", hash);
    } catch { /* a page within another one may not: the link is shown all the same */ }
  }

  function address() {
    return `${location.href.split("#")[0]}${name(sequence[at])}`;
  }

  function show(number) {
    at = Math.min(Math.max(number, 0), sequence.length - 1);
    const sample = sequence[at];
    const copy = sample.cloneNode(true);
    copy.hidden = false;
    shown.replaceChildren(copy);
    shown.hidden = !warned;
    shown.scrollTop = 0;
    warning.hidden = warned;
    title.textContent = `${candidate(sample)}: ${at + 1} of ${sequence.length}`;
    status.textContent = "";
    dialog.querySelector(".before").disabled = at === 0;
    dialog.querySelector(".after").disabled = at === sequence.length - 1;
    link.hidden = true;
    point(name(sample));
  }

  function open(which) {
    sequence = all.filter((sample) => !sample.hidden);
    if (which && !sequence.includes(which)) sequence = all;
    if (!sequence.length) return;
    if (!dialog.open) dialog.showModal();
    show(which ? sequence.indexOf(which) : 0);
    (warned ? shown : warning.querySelector("button")).focus();
  }

  function consent() {
    warned = true;
    show(at);
    shown.focus();
  }

  async function copy() {
    try {
      await navigator.clipboard.writeText(address());
      status.textContent = "The link is copied.";
    } catch {
      link.hidden = false;
      link.querySelector("input").value = address();
      link.querySelector("input").select();
      status.textContent = "Copy the link from the field.";
    }
  }

  function build() {
    dialog = element("dialog", "", { class: "reader", "aria-labelledby": "reader-title" });
    title = element("h2", "", { id: "reader-title", "aria-live": "polite" });
    status = element("p", "", { class: "count", role: "status" });
    warning = element("div", "", { class: "ask" });
    warning.append(
      element("p", section.querySelector(".warning").textContent, { class: "warning" }),
      button("Show it", consent));
    shown = element("div", "", { class: "shown", tabindex: "0", role: "region", "aria-label": "The sample" });
    link = element("label", "Link to this sample ");
    link.append(element("input", "", { readonly: "", type: "text" }));
    const bar = element("div", "", { class: "bar" });
    bar.append(
      button("← Previous", () => show(at - 1), { class: "before" }),
      button("Next →", () => show(at + 1), { class: "after" }),
      button("Copy link", copy),
      button("Close", () => dialog.close()));
    dialog.append(title, bar, link, status, warning, shown);
    dialog.addEventListener("close", () => point("#samples"));
    dialog.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input")) return;
      const step = { ArrowLeft: -1, p: -1, ArrowRight: 1, n: 1 }[event.key];
      if (!step) return;
      event.preventDefault();
      show(at + step);
    });
    document.body.append(dialog);
  }

  function rows() {
    const told = [["candidate", "sample", "groups", "prompt", "reference's answer", "candidate's answer"]];
    for (const sample of all.filter((each) => !each.hidden)) {
      const groups = sample.querySelector("h3 + .slices");
      const said = [...sample.querySelectorAll(".text")].map((text) => text.textContent);
      told.push([candidate(sample), sample.querySelector("h3").textContent, groups ? groups.textContent : "", ...said]);
    }
    return told;
  }

  /* Called once; `choose` hides the samples that do not fit. */
  function offer(choose) {
    if (!all.length) return;
    build();
    const bar = element("div", "", { class: "filters" });
    const label = element("label", "Search in prompts and answers");
    search = element("input", "", { type: "search", autocomplete: "off" });
    search.addEventListener("input", choose);
    label.append(search);
    bar.append(
      label,
      button("Read one by one", () => open(null)),
      button("CSV of these samples", () => tables.save("samples", rows())));
    section.querySelector(".count").before(bar);
    addEventListener("hashchange", follow);
    follow();
  }

  /* The sample that the address names, if it names one. */
  function follow() {
    const heading = NAME.test(location.hash) ? section.querySelector(`[data-pair=${location.hash.slice(1)}]`) : null;
    if (heading) open(heading.closest(".sample"));
  }

  function clear() {
    if (search) search.value = "";
  }

  return { offer, fits, clear };
})();
