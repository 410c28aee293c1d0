"""The gallery's pages hold together: every picture is there and small, and each page says by which command it came."""

import re
from pathlib import Path

import pytest
from PIL import Image

from toxaudit.compose.compose import compose

GALLERY = Path(__file__).parents[1] / "docs/gallery"
PAGES = sorted(file for file in GALLERY.glob("*.md") if file.name != "README.md")


def linked(file):
    return re.findall(r"\]\(([^)#:]+)\)|src=\"([^\":]+)\"", file.read_text(encoding="utf-8"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_has_its_command_and_the_card_of_that_audit(page):
    spec = compose([f"audit={page.stem}"])
    card = (GALLERY / page.stem / "card.md").read_text(encoding="utf-8")
    text = page.read_text(encoding="utf-8")
    assert f"toxaudit audit={page.stem}\n" in text and f"toxaudit audit={page.stem}\n" in card
    assert text.startswith("# ") and spec.title in text
    assert all(f"| {name} " in card for name in spec.candidates)
    assert card.startswith(f"# The card of {page.stem}\n") and f"](../{page.name})" in card
    assert re.search(r"CPU-(minutes|seconds)", text), "it says how long it took"


@pytest.mark.parametrize("file", [GALLERY / "README.md", *PAGES, *GALLERY.glob("*/card.md")], ids=str)
def test_what_a_page_links_to_is_there(file):
    for found in linked(file):
        assert (file.parent / next(filter(None, found))).exists(), found


def test_pictures_are_small():
    pictures = list(GALLERY.rglob("*.png"))
    assert len(pictures) >= 2 * len(PAGES)
    assert max(each.stat().st_size for each in pictures) < 60_000


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_thumbnail_makes_no_tall_row(page):
    with Image.open(GALLERY / page.stem / "thumbnail.png") as picture:
        assert picture.width == 300 and picture.height <= 200


def test_the_index_has_every_page():
    index = (GALLERY / "README.md").read_text(encoding="utf-8")
    assert PAGES and all(f"]({page.name})" in index for page in PAGES)
    assert {page.stem for page in PAGES} == {each.parent.name for each in GALLERY.glob("*/card.md")}
