"""The page of all runs as a reader meets it: no request, no barrier; it filters, sorts, and puts two side by side."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from results import RESULTS
from test_report import NASTY, report
from test_report_in_chromium import violations, wide
from viewed import put, releases

from toxaudit.view import found, page, server

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser
Show = Callable[..., Any]


@pytest.fixture(scope="module")
def html(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("runs")
    places = releases(folder)
    (folder / "foreign").mkdir()
    (folder / "foreign" / "results.json").write_text("{}")
    runs, unread = found.read([*places, folder / "foreign"])
    return page.page(runs, unread, "runs", page.beside(folder / "index.html"))


def candidates(page: "Page") -> list[str]:
    return [text.split("\n")[0] for text in page.locator("#runs tbody tr:visible td:first-child").all_inner_texts()]


def test_opening_asks_for_nothing_but_the_file_and_nothing_is_complained_of(opened: Show, html: str) -> None:
    shown = opened(html)
    shown.page.locator("#runs td button").first.click()
    shown.page.wait_for_load_state("networkidle")
    assert [url.partition(":")[0] for url in shown.requests] == ["file"] and shown.complaints == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_it_has_no_barrier_and_nothing_sticks_out(opened: Show, html: str, scheme: str, width: int) -> None:
    page = opened(html, width, color_scheme=scheme).page
    assert violations(page) == [] and not wide(page)
    page.locator("#runs td button").first.click()
    page.locator("figure summary").first.click()
    cells = page.locator("figure").first.locator("tbody td").all_inner_texts()
    assert cells[0] == "2026-01-01" and cells[3] == "+0.1 pp [−1.5, 1.6]" and len(cells) == 5 * 3
    assert violations(page) == [] and not wide(page)


def test_filters_choose_rows_and_courses(opened: Show, html: str) -> None:
    page = opened(html).page
    status = page.locator("#count")
    assert status.inner_text() == "10 of 10 rows chosen."
    page.locator("select[name=verdict]").select_option("◆ NO-GO")
    assert set(candidates(page)) == {"rude"} and status.inner_text() == "2 of 10 rows chosen."
    assert page.locator(".course:visible").count() == 1
    page.get_by_role("button", name="Reset").click()
    page.locator("select[name=audit]").select_option("other")
    assert candidates(page) == ["benign"] and page.locator(".course:visible").count() == 0
    assert page.locator("#courses").inner_text() == "0 of 4 chosen."


def test_a_run_is_compared_with_the_one_before_by_keyboard(opened: Show, html: str) -> None:
    page = opened(html).page
    page.locator("#runs td button").first.focus()
    page.keyboard.press("Enter")
    table = page.get_by_role("region", name="Table of two rows side by side")
    assert "First\nbenign" in table.locator("thead").inner_text()
    rows = {
        row.locator("th").inner_text(): row.locator("td").all_inner_texts() for row in table.locator("tbody tr").all()
    }
    assert (
        rows["gate.margin"] == ["0.03", "0.04"]
        and rows["prompts rtp_categories"][0] != rows["prompts rtp_categories"][1]
    )
    assert "pp [" in rows["rtp_categories, toxicity_bilstm"][0] and "generation.seed" not in rows
    assert page.evaluate("document.activeElement.id") == "beside"
    assert page.locator("#compared code").inner_text().startswith("toxaudit diff ")


def test_any_two_rows_are_compared_and_a_third_takes_the_place_of_the_first(opened: Show, html: str) -> None:
    page = opened(html).page
    boxes = page.locator("#runs input[type=checkbox]")
    boxes.nth(0).check()
    assert page.locator("#chosen").inner_text() == "One row is chosen: choose another."
    boxes.nth(1).check()
    boxes.nth(2).check()
    assert [boxes.nth(place).is_checked() for place in range(3)] == [False, True, True]
    heads = page.locator("#compared thead bdi").all_inner_texts()
    assert heads == [candidates(page)[1], candidates(page)[2]]


def test_columns_are_sorted_and_rows_still_compare_what_they_show(opened: Show, html: str) -> None:
    page = opened(html).page
    page.get_by_role("columnheader", name="Date", exact=True).get_by_role("button").click()
    dates = page.locator("#runs td[data-label=Date]").all_inner_texts()
    assert dates == sorted(dates) and len(set(dates)) > 2
    first = page.locator("#runs tbody tr").first
    first.get_by_role("checkbox").check()
    page.locator("#runs tbody tr").nth(1).get_by_role("checkbox").check()
    assert dates[0] in page.locator("#compared thead small").first.inner_text()


def test_without_scripts_all_rows_and_pictures_can_be_read(opened: Show, html: str) -> None:
    page = opened(html, java_script_enabled=False).page
    assert page.locator("#runs tbody tr:visible").count() == 10 and page.locator("svg.trend:visible").count() > 3
    assert page.locator("form:visible").count() == 0


@pytest.mark.parametrize("text", [*NASTY, "x" * 10_000])
def test_strangers_names_change_nothing(opened: Show, tmp_path: Path, text: str) -> None:
    audit = RESULTS["go"]
    told = replace(
        audit,
        audit=text,
        title=text,
        date=text,
        scorers=tuple(replace(s, title=text, more=text) for s in audit.scorers),
    )
    places = [put(tmp_path / name, told) for name in ("one", "two")]
    runs, unread = found.read(places)
    shown = opened(page.page(runs, unread, text[:50], page.beside(tmp_path / "index.html")), 390)
    shown.page.locator("#runs td button").first.click()
    assert shown.page.locator("#compared table").count() == 1 and not wide(shown.page)
    assert shown.page.locator("script").count() == 2 and shown.page.locator("main img, main iframe").count() == 0
    assert [url.partition(":")[0] for url in shown.requests] == ["file"] and shown.complaints == []


@pytest.fixture
def served(tmp_path: Path) -> Iterator[str]:
    places = [put(tmp_path / "runs" / name, RESULTS[name], report(RESULTS[name])) for name in ("go", "several")]

    def made() -> tuple[str, dict[str, Path]]:
        runs, unread = found.read(places)
        return page.page(runs, unread, "runs", server.linked), server.reports(runs)

    with server.serving(made, {}, 0) as (address, serving):
        thread = threading.Thread(target=serving.serve_forever)
        thread.start()
        yield address
        serving.shutdown()
        thread.join()


def test_a_served_page_opens_reports_which_can_do_nothing_else(chromium: "Browser", served: str) -> None:
    page = chromium.new_page()
    page.goto(served)
    page.locator("#runs td a").first.click()
    page.wait_for_selector("h1")
    assert page.locator("#estimates tbody tr:visible").count() > 3  # the report's own script runs
    assert page.evaluate("self.origin") == "null"
    with page.expect_download() as saving:
        page.get_by_role("button", name="CSV of every estimate").click()
    assert saving.value.suggested_filename == "every-estimate.csv"
    page.close()
