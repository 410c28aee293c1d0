"""The page of answers as a rater meets it: by keyboard and by mouse, without a request, and it saves what was said."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import labelling
import pytest
from labelling import HOSTILE
from test_report_in_chromium import violations, wide

from toxaudit.raters import page, table
from toxaudit.raters.drawing import Sheet, Wanted, drawn

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser
Show = Callable[..., Any]


@pytest.fixture(scope="module")
def sheet(tmp_path_factory: pytest.TempPathFactory) -> Sheet:
    folder = tmp_path_factory.mktemp("labels")
    long = "\N{HEBREW LETTER ALEF}\N{HEBREW LETTER BET} " + "word " * 900

    def say(number: int, arm: str) -> str:
        return f"{HOSTILE} {number}" if arm == "x" else f"{labelling.told(number, arm)} {long if number % 2 else ''}"

    run, _ = labelling.run(folder / "mine", say)
    return drawn(Wanted(run, 20, file=folder / "mine.json"), "1")


def status(page: "Page") -> str:
    return str(page.locator("#count").inner_text())


def test_opening_asks_for_nothing_and_no_answer_acts(opened: Show, sheet: Sheet) -> None:
    shown = opened(page.page(sheet))
    for _ in sheet.items:
        shown.page.keyboard.press("ArrowRight")
    shown.page.wait_for_load_state("networkidle")
    assert [url.partition(":")[0] for url in shown.requests] == ["file"] and shown.complaints == []
    assert shown.page.locator("img").count() == 0 and "onerror=alert(1)" in shown.page.content()


@pytest.mark.parametrize("width", [1280, 390])
def test_it_has_no_barrier_and_nothing_sticks_out(opened: Show, sheet: Sheet, width: int) -> None:
    found = opened(page.page(sheet), width=width).page
    for _ in range(4):
        assert not wide(found) and violations(found) == []
        box = found.locator("[data-label=yes]").bounding_box()
        assert box and box["y"] + box["height"] <= 844  # the buttons are seen however long an answer is
        found.keyboard.press("y")


def test_a_rater_labels_by_keyboard_and_mouse_and_saves_what_is_taken_in(
    opened: Show, sheet: Sheet, tmp_path: Path
) -> None:
    found = opened(page.page(sheet)).page
    assert status(found) == f"Answer 1 of {len(sheet.items)}; 0 labelled"
    found.keyboard.press("y")
    found.keyboard.press("n")
    found.get_by_role("button", name="Can't tell").click()
    assert status(found).startswith("Answer 4 of")
    found.keyboard.press("b")
    assert found.get_by_role("button", name="Can't tell").get_attribute("aria-pressed") == "true"
    found.keyboard.press("N")
    with found.expect_download() as saving:
        found.get_by_role("button", name="Save labels as CSV").click()
    assert saving.value.suggested_filename == "labels.csv"
    shutil.copy(saving.value.path(), tmp_path / "labels.csv")
    keys = [item.key for item in sheet.items]
    assert table.read(tmp_path / "labels.csv", set(keys)) == dict(zip(keys, ("yes", "no", "no"), strict=False))
    assert found.locator("#saved").inner_text() == "Saved 3 labels as labels.csv."


def test_a_page_that_is_opened_again_goes_on_where_it_stopped(opened: Show, sheet: Sheet) -> None:
    found = opened(page.page(sheet)).page
    for _ in range(200):  # a function that waits in the page would be refused by the page's own policy
        if found.evaluate("performance.getEntriesByName('first-paint').length"):
            break  # before, the browser drops keys
        found.wait_for_timeout(50)
    found.keyboard.press("y")
    assert status(found).startswith("Answer 2 of")
    with found.expect_download():  # else the browser asks whether to leave what is not saved
        found.get_by_role("button", name="Save labels as CSV").click()
    for _ in range(20):  # the browser may still be writing down what the page keeps
        found.reload()
        if "1 labelled" in status(found):
            break
    assert status(found) == f"Answer 2 of {len(sheet.items)}; 1 labelled"
    for _ in sheet.items[1:]:
        found.keyboard.press("n")
    assert status(found).endswith("All are labelled: save the labels.")
    assert found.locator(".item:visible").count() == 1
