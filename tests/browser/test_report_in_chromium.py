"""The report as a reader meets it: no request, no complaint, no barrier, and tables that sort and filter."""

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from harder import HARDER
from results import RESULTS, draws, samples
from test_report import NASTY, strange

from toxaudit.card.markdown import render_card
from toxaudit.card.plots import drawn
from toxaudit.card.report import render_report

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

pytestmark = pytest.mark.browser
Show = Callable[..., Any]


@pytest.fixture(scope="module")
def several() -> str:
    audit = RESULTS["several"]
    changed = [replace(each, slices={"category": "insult"}) for each in samples()]
    return render_report(audit, render_card(audit), drawn(audit, draws(audit)), changed)


@pytest.fixture(scope="module")
def two_suites() -> str:
    audit = HARDER["two-suites"]
    return render_report(audit, render_card(audit), drawn(audit, draws(audit)), [])


def column(page: "Page", name: str, table: str = "#estimates") -> list[str]:
    """The texts of a column's visible cells, on one line each."""
    names = [text.strip() for text in page.locator(f"{table} th").all_inner_texts()]
    cells = page.locator(f"{table} tbody tr:not([hidden]) > td:nth-child({names.index(name) + 1})")
    return [" ".join(text.split()) for text in cells.all_inner_texts()]


def choice(page: "Page", name: str) -> "Locator":
    return page.locator(f"select[name={name}]")


def heading(page: "Page", name: str) -> "Locator":
    return page.locator("#estimates").get_by_role("columnheader", name=name, exact=True)


def sort(page: "Page", name: str) -> None:
    heading(page, name).get_by_role("button").click()


def wide(page: "Page") -> bool:
    """Whether the page itself scrolls sideways."""
    return bool(page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"))


def open_all(page: "Page") -> None:
    for summary in page.locator("summary").all():
        summary.click()


def violations(page: "Page") -> list[str]:
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response["violations"]
    grave = [each for each in found if each["impact"] in ("serious", "critical")]
    return [f"{each['id']}: {[node['html'][:200] for node in each['nodes'][:3]]}" for each in grave]


@pytest.mark.parametrize("name", ["several", "two_suites"])
def test_opening_asks_for_nothing_but_the_file_and_nothing_is_complained_of(
    opened: Show, name: str, request: pytest.FixtureRequest
) -> None:
    shown = opened(request.getfixturevalue(name))
    open_all(shown.page)
    shown.page.evaluate("window.scrollTo(0, document.body.scrollHeight)")
    shown.page.wait_for_load_state("networkidle")
    assert [url.partition(":")[0] for url in shown.requests if not url.startswith("data:image/svg+xml;base64,")] == [
        "file"
    ]
    assert shown.complaints == []
    sizes = shown.page.locator(".card img").evaluate_all("images => images.map(image => image.naturalWidth)")
    assert sizes and all(sizes)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_axe_finds_no_barrier(opened: Show, several: str, scheme: str, width: int) -> None:
    page = opened(several, width, color_scheme=scheme).page
    assert violations(page) == []
    open_all(page)
    choice(page, "candidate").select_option("benign")
    page.get_by_label("also other estimators").check()
    sort(page, "Change")
    assert violations(page) == []


def test_axe_would_find_a_barrier(opened: Show, several: str) -> None:
    page = opened(several).page
    page.evaluate("document.querySelector('.card img').removeAttribute('alt')")
    assert [each.partition(":")[0] for each in violations(page)] == ["image-alt"]


@pytest.mark.parametrize("name", ["several", "two_suites"])
def test_a_phone_never_scrolls_the_page_sideways(opened: Show, name: str, request: pytest.FixtureRequest) -> None:
    page = opened(request.getfixturevalue(name), 390).page
    assert not wide(page)
    open_all(page)
    page.get_by_label("also other estimators").check()
    assert not wide(page)
    table = page.get_by_role("region", name="Table of every estimate")
    assert table.evaluate("region => region.scrollWidth > region.clientWidth")


def test_a_phone_shows_verdict_and_findings_without_scrolling_sideways(opened: Show, several: str) -> None:
    """A long notice leaves room for the verdict on the first screen, and a finding is as wide as the screen."""
    page = opened(several, 390).page
    page.evaluate(
        "document.querySelector('.card > h2').insertAdjacentHTML('afterend',"
        " `<blockquote><p>${'Many completions could not be scored. '.repeat(40)}</p></blockquote>`)"
    )
    verdict = page.locator(".card > blockquote + p").bounding_box()
    assert verdict and verdict["y"] + 60 < 844
    finding = page.get_by_role("cell", name="shows no clear change in toxicity").first.bounding_box()
    assert finding and finding["x"] >= 0 and finding["x"] + finding["width"] <= 390


def test_only_what_decides_is_shown_until_the_rest_is_asked_for(opened: Show, several: str) -> None:
    page = opened(several).page
    status = page.get_by_role("status")
    assert status.inner_text() == "33 of 41 estimates chosen."
    roles = {text.split()[0].rstrip(":") for text in column(page, "Basis")}
    assert roles == {"decides", "supports", "reported"}
    page.get_by_label("also other estimators").check()
    assert status.inner_text() == "41 of 41 estimates chosen." and len(column(page, "Basis")) == 41


def test_sorting_by_mouse_goes_by_numbers_both_ways(opened: Show, several: str) -> None:
    page = opened(several).page
    values = [float(text.split(" pp")[0].replace("−", "-")) for text in column(page, "Change")]
    change = heading(page, "Change")
    sort(page, "Change")
    assert change.get_attribute("aria-sort") == "ascending"
    ascending = [float(text.split(" pp")[0].replace("−", "-")) for text in column(page, "Change")]
    assert ascending == sorted(values) != values
    sort(page, "Change")
    assert change.get_attribute("aria-sort") == "descending"
    assert column(page, "Change")[0] == "+91.1 pp [87.3, 94.4]"
    sort(page, "Group")
    assert change.get_attribute("aria-sort") is None
    groups = column(page, "Group")
    assert groups == sorted(groups) and len(groups) == len(values)


def test_rows_that_are_equal_keep_their_order(opened: Show, several: str) -> None:
    page = opened(several).page
    sort(page, "Change")
    sort(page, "Candidate")
    pairs = list(zip(column(page, "Candidate"), column(page, "Change"), strict=True))
    noop = [float(change.split(" pp")[0].replace("−", "-")) for name, change in pairs if name == "noop"]
    assert noop == sorted(noop) and len(set(noop)) > 2


def test_every_column_of_both_tables_can_be_sorted(opened: Show, two_suites: str) -> None:
    page = opened(two_suites).page
    for table in ("#estimates", "#diagnostics"):
        rows = page.locator(f"{table} tbody tr").count()
        for button in page.locator(f"{table} th button").all():
            button.click()
            sorted_ = page.locator(f"{table} th[aria-sort=ascending]")
            assert sorted_.inner_text() == button.inner_text()
        assert page.locator(f"{table} tbody tr").count() == rows


def test_filters_choose_rows_samples_and_diagnostics(opened: Show, several: str) -> None:
    page = opened(several).page
    open_all(page)
    choice(page, "candidate").select_option("rude")
    assert set(column(page, "Candidate")) == {"rude"}
    assert (
        page.locator("article.sample:visible").count() == 4 and page.locator("#samples > details:visible").count() == 1
    )
    assert page.locator("#samples .count").inner_text() == "4 of 8 samples chosen."
    choice(page, "group").select_option("category=insult")
    assert column(page, "Group") == ["category=insult"] and page.locator("article.sample:visible").count() == 4
    choice(page, "group").select_option("category=threat")
    assert page.locator("article.sample:visible").count() == 0
    assert page.locator("#samples .count").inner_text() == "0 of 8 samples chosen."
    choice(page, "measure").select_option("Refusal (keyword list)")
    assert column(page, "Change") == [] and page.get_by_role("status").inner_text() == "0 of 41 estimates chosen."
    assert set(column(page, "Measure", "#diagnostics")) == {"Refusal (keyword list)"}


def test_reset_restores_rows_and_their_order(opened: Show, several: str) -> None:
    page = opened(several).page
    before = page.locator("#estimates table").inner_text()
    choice(page, "candidate").select_option("noop")
    page.get_by_label("also other estimators").check()
    sort(page, "P(increase)")
    page.get_by_role("button", name="Reset filters and order").click()
    page.wait_for_selector("#estimates th[aria-sort]", state="detached")
    assert page.locator("#estimates table").inner_text() == before
    assert choice(page, "candidate").input_value() == ""


def test_everything_works_by_keyboard_alone(opened: Show, several: str) -> None:
    page = opened(several).page

    def focus_until(wanted: str) -> None:
        for _ in range(200):
            page.keyboard.press("Tab")
            if page.evaluate(f"document.activeElement.matches({json.dumps(wanted)})"):
                return
        raise AssertionError(f"the tab key never comes to {wanted}")

    focus_until("select[name=candidate]")
    page.keyboard.press("ArrowDown")
    assert set(column(page, "Candidate")) == {"benign"}
    focus_until("#others")
    page.keyboard.press("Space")
    assert page.get_by_role("status").inner_text() == "12 of 41 estimates chosen."
    focus_until("#estimates .scroll")
    focus_until("#estimates th:nth-child(7) button")
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    page.keyboard.press("Enter")
    assert outline == "solid"
    assert heading(page, "Change").get_attribute("aria-sort") == "ascending"
    page.keyboard.press("Space")
    assert heading(page, "Change").get_attribute("aria-sort") == "descending"
    focus_until("#samples summary")
    assert page.locator("article.sample:visible").count() == 0
    page.keyboard.press("Enter")
    assert page.locator("article.sample:visible").count() == 4


def test_of_very_many_rows_the_first_are_laid_out_until_all_are_asked_for(opened: Show) -> None:
    audit = RESULTS["go"]
    parts = [each for each in audit.estimates if each.slice != "all"]
    many = [replace(parts[0], slice=f"part={number}") for number in range(600)]
    page = opened(render_report(replace(audit, estimates=tuple(many)), "", {}, [])).page
    status = page.get_by_role("status")
    assert status.inner_text() == "600 of 600 estimates chosen; the first 500 of these are shown."
    assert page.locator("#estimates tbody tr:visible").count() == 500
    sort(page, "Group")
    sort(page, "Group")
    assert page.locator("#estimates tbody tr:visible").count() == 500
    assert page.locator("#estimates tbody tr:visible td:nth-child(3)").first.inner_text() == "part=599"
    page.get_by_role("button", name="Show all that are chosen").click()
    assert page.locator("#estimates tbody tr:visible").count() == 600
    assert page.evaluate("document.activeElement.getAttribute('aria-label')") == "Table of every estimate"


def test_without_scripts_all_of_it_can_be_read(opened: Show, several: str) -> None:
    page = opened(several, java_script_enabled=False).page
    assert page.locator("#estimates tbody tr:visible").count() == 41
    assert page.locator("form:visible").count() == page.locator("th button").count() == 0


def test_print_opens_the_card_and_leaves_samples_closed(opened: Show, several: str) -> None:
    page = opened(several).page
    page.emulate_media(media="print")
    assert page.locator("form:visible").count() == page.locator("nav:visible").count() == 0
    assert page.locator(".card details table").first.is_visible()
    assert page.locator("article.sample:visible").count() == 0
    assert page.locator("#estimates .scroll").evaluate("region => region.scrollHeight <= region.clientHeight")


@pytest.mark.parametrize("text", [*NASTY, "x" * 100_000, "<script>document.title='ran'</script>" * 2000])
def test_strangers_names_and_texts_change_nothing(opened: Show, text: str) -> None:
    made, changed = strange(text)
    shown = opened(render_report(made, "a card", {}, changed), 390)
    page = shown.page
    open_all(page)
    page.get_by_label("also other estimators").check()
    sort(page, "Reading")
    choice(page, "group").select_option(index=2)
    choice(page, "group").select_option(index=1)
    assert page.locator("article.sample:visible").count() == 1
    assert page.locator("#estimates tbody tr").evaluate_all("rows => rows.map(row => row.cells.length)") == [11] * 12
    assert page.locator("main section, main article.card").count() == 4
    assert page.locator("script").count() == page.locator("style").count() == 1
    assert page.locator("main a, main svg, main img, main iframe").count() == 0
    assert page.title() != "ran" and not wide(page)
    assert [url.partition(":")[0] for url in shown.requests] == ["file"] and shown.complaints == []


def test_a_plot_that_holds_a_script_shows_and_runs_nothing(opened: Show) -> None:
    from toxaudit.card.plots import Drawing

    svg = (
        '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9" onload="parent.document.title=\'ran\'">'
        '<style>*{display:none}</style><script>parent.document.title="ran"</script>'
        '<image href="https://example.org/x.png" width="9" height="9"/></svg>'
    )
    card = "![words](toxaudit/forest.png)"
    shown = opened(render_report(RESULTS["go"], card, {"forest": Drawing("words", b"", svg)}, []))
    shown.page.wait_for_load_state("networkidle")
    assert shown.page.title() != "ran" and shown.page.locator("main h2").first.is_visible()
    assert not [url for url in shown.requests if url.startswith("http")] and shown.complaints == []


FORMULAS = [
    "=1+1",
    "+1",
    "-1+1",
    "@SUM(A1)",
    "\t=1",
    " =1",
    "\N{FULLWIDTH EQUALS SIGN}1",
    'a "quoted", text\nof two lines',
]


@pytest.fixture(scope="module")
def whole() -> str:
    """A report as a run writes it: opened by the short card, with samples that a spreadsheet would compute."""
    audit = RESULTS["several"]
    mild = next(each for each in samples() if each.candidate == "benign")
    odd = [replace(mild, prompt=text, base_text=text, candidate_text=f"{text} again") for text in FORMULAS]
    rude = [each for each in samples() if each.candidate == "rude"]
    short = render_card(audit, "short.md.jinja")
    return render_report(audit, render_card(audit), drawn(audit, draws(audit)), [*odd, *rude], short=short)


def saved(page: "Page", button: str) -> list[list[str]]:
    """The rows of what a button saves."""
    with page.expect_download() as saving:
        page.get_by_role("button", name=button, exact=True).click()
    with saving.value.path().open(encoding="utf-8-sig", newline="") as file:
        return list(csv.reader(file))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_the_opening_and_the_reader_have_no_barrier(opened: Show, whole: str, scheme: str, width: int) -> None:
    page = opened(whole, width, color_scheme=scheme).page
    assert violations(page) == [] and not wide(page)
    page.get_by_role("button", name="Read one by one").click()
    assert violations(page) == []
    page.get_by_role("button", name="Show it").click()
    assert violations(page) == [] and not wide(page)
    box = page.locator("dialog").bounding_box()
    assert box and box["x"] >= 0 and box["x"] + box["width"] <= width and box["y"] + box["height"] <= 844


def test_the_contents_stay_in_sight_and_mark_where_one_is(opened: Show, whole: str) -> None:
    for width in (1280, 390):
        page = opened(whole, width).page
        link = page.get_by_role("link", name="Every estimate")
        link.click()
        page.wait_for_selector("nav a[aria-current]:text-is('Every estimate')")
        box, heading = link.bounding_box(), page.locator("#estimates-title").bounding_box()
        assert box and heading and 0 <= box["y"] < 844 and heading["y"] >= (0 if width > 1000 else box["height"])


def test_samples_are_read_one_by_one_by_keyboard_after_a_warning(opened: Show, whole: str) -> None:
    shown = opened(whole)
    page = shown.page
    page.get_by_role("button", name="Read one by one").focus()
    page.keyboard.press("Enter")
    title = page.locator("#reader-title")
    assert title.inner_text() == "benign: 1 of 12" and page.locator("dialog .text:visible").count() == 0
    page.keyboard.press("Enter")  # on the button that shows it
    assert page.locator("dialog .text").first.inner_text() == FORMULAS[0]
    page.keyboard.press("ArrowRight")
    page.keyboard.press("n")
    assert title.inner_text() == "benign: 3 of 12"
    page.keyboard.press("ArrowLeft")
    assert title.inner_text() == "benign: 2 of 12" and page.locator("dialog .text").first.inner_text() == FORMULAS[1]
    page.keyboard.press("Escape")
    assert page.locator("dialog[open]").count() == 0 and page.evaluate("location.hash") == "#samples"
    assert page.locator("article.sample:visible").count() == 0 and shown.complaints == []


def test_a_link_opens_the_same_pair_again_behind_the_warning(opened: Show, whole: str) -> None:
    page = opened(whole).page
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Read one by one").click()
    page.get_by_role("button", name="Show it").click()
    for _ in range(4):
        page.keyboard.press("ArrowRight")
    text = page.locator("dialog article").inner_text()
    page.get_by_role("button", name="Copy link").click()
    page.wait_for_selector("dialog [role=status]:text-is('The link is copied.')")
    address = page.evaluate("location.href")
    assert page.evaluate("navigator.clipboard.readText()") == address
    page.goto("about:blank")
    page.goto(address)
    assert page.locator("dialog[open]").count() == 1 and page.locator("article.sample:visible").count() == 0
    page.get_by_role("button", name="Show it").click()
    assert page.locator("dialog article").inner_text() == text


def test_where_nothing_can_be_copied_the_link_is_shown(opened: Show, whole: str) -> None:
    page = opened(whole).page
    page.evaluate("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    page.get_by_role("button", name="Read one by one").click()
    page.get_by_role("button", name="Copy link").click()
    assert page.get_by_label("Link to this sample").input_value() == page.evaluate("location.href")


def test_samples_are_searched(opened: Show, whole: str) -> None:
    page = opened(whole).page
    page.get_by_label("Search in prompts and answers").fill("QUOTED")
    assert page.locator("#samples .count").inner_text() == "1 of 12 samples chosen."
    page.get_by_role("button", name="Read one by one").click()
    assert page.locator("#reader-title").inner_text() == "benign: 1 of 1"
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Reset").click()
    page.wait_for_selector("#samples .count", state="hidden")
    assert page.get_by_label("Search in prompts and answers").input_value() == ""


def test_the_table_of_estimates_is_saved_with_its_numbers(opened: Show, whole: str) -> None:
    shown = opened(whole)
    head, first, *rest = saved(shown.page, "CSV of every estimate")
    assert len(rest) == 40 and {len(row) for row in rest} == {len(head)} == {17}
    found = dict(zip(head, first, strict=True))
    assert found["Change"] == "0.003" and (found["Change, low"], found["Change, high"]) == ("-0.013", "0.018")
    assert found["n"] == "350" and found["Base rate"] == "0.061" and found["Basis"] == "decides paired_exact"
    assert shown.complaints == [] and len([url for url in shown.requests if url.startswith("http")]) == 0


def test_every_table_is_saved(opened: Show, whole: str) -> None:
    page = opened(whole).page
    assert page.locator("button.save").count() == page.locator("main table").count()
    name = "CSV of Candidate, Decision, Finding, Identity"
    head, *rows = saved(page, name)
    assert head == ["Candidate", "Decision", "Finding", "Identity"]
    assert rows[0][:2] == ["benign", "● GO"] and len(rows) == 4


def test_what_a_model_wrote_computes_nothing_in_a_spreadsheet(opened: Show, whole: str) -> None:
    head, *rows = saved(opened(whole).page, "CSV of these samples")
    assert len(rows) == 12 and {len(row) for row in rows} == {len(head)}
    prompts = [row[head.index("prompt")] for row in rows[: len(FORMULAS)]]
    assert prompts == [
        "'=1+1",
        "'+1",
        "'-1+1",
        "'@SUM(A1)",
        "' =1",
        "' =1",
        "'\N{FULLWIDTH EQUALS SIGN}1",
        FORMULAS[-1],
    ]
    assert all(not cell.lstrip().startswith(tuple("=+@")) for row in rows for cell in row)
