import re
from base64 import b64decode, b64encode
from hashlib import sha256
from html import unescape
from pathlib import Path

import pytest
from results import RESULTS, samples
from test_hostile import Page

from toxaudit.card import SectionCard, forest_plot, render_card, render_report
from toxaudit.errors import ToxauditError
from toxaudit.registry import registered

SEVERAL = RESULTS["several"]
HTML = render_report(SEVERAL, render_card(SEVERAL), b"png", samples())
PAGE = Page(HTML)


def test_the_policy_allows_this_style_and_nothing_else() -> None:
    (policy,) = [a["content"] for tag, a in PAGE.tags if tag == "meta" and a.get("http-equiv")]
    (style,) = re.findall(r"<style>(.*?)</style>", HTML, flags=re.DOTALL)
    allowed = b64encode(sha256(style.encode()).digest()).decode()
    assert policy == (
        f"default-src 'none'; img-src data:; style-src 'sha256-{allowed}'; base-uri 'none'; form-action 'none'"
    )


def test_the_page_loads_nothing_and_runs_nothing() -> None:
    assert "<script" not in HTML and "://" not in re.sub(r"<title>.*?</title>", "", HTML)
    assert not any("style" in attributes for _, attributes in PAGE.tags)
    assert not re.search(r"url\(|@import", HTML)


def test_the_page_is_whole_and_has_its_landmarks() -> None:
    assert HTML.startswith("<!DOCTYPE html>\n") and not PAGE.open
    tags = [tag for tag, _ in PAGE.tags]
    assert [tags.count(tag) for tag in ("html", "header", "main", "footer", "h1")] == [1, 1, 1, 1, 1]
    levels = [int(tag[1]) for tag in tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1 and all(after - before <= 1 for before, after in zip(levels, levels[1:], strict=False))
    assert dict(PAGE.tags)["html"] == {"lang": "en"}
    assert all(attributes["scope"] == "col" for tag, attributes in PAGE.tags if tag == "th")
    assert all(attributes["alt"] for tag, attributes in PAGE.tags if tag == "img")
    regions = [attributes for _, attributes in PAGE.tags if attributes.get("class") == "scroll"]
    assert len(regions) == tags.count("table") and all(region["tabindex"] == "0" for region in regions)
    names = [region["aria-label"] for region in regions]
    assert names[0] == "Table: Candidate, Decision, Finding, Identity"


def test_the_plot_is_inside() -> None:
    (source,) = [attributes["src"] for tag, attributes in PAGE.tags if tag == "img"]
    assert source and b64decode(source.removeprefix("data:image/png;base64,")) == b"png"


def test_samples_are_behind_a_warning_and_side_by_side() -> None:
    section = HTML[HTML.index('id="samples"') :]
    assert section.count("<details>") == 2 and section.count("Content warning") == 2 and "<details open" not in section
    assert section.index("benign: 4 samples") < section.index("rude: 4 samples")
    assert "you useless fool, nobody asked you.\nGet lost" in section
    assert "Sample 1: Toxicity (Jigsaw BiLSTM) 0.03 → 0.97" in unescape(section)


def test_without_samples_there_is_no_section_of_samples() -> None:
    assert 'id="samples"' not in render_report(SEVERAL, render_card(SEVERAL), b"", [])


def test_the_card_is_registered() -> None:
    assert registered("card")["section"] is SectionCard


def test_write_makes_three_files_and_limits_samples(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    files = SectionCard(samples=2).write(SEVERAL, samples(), folder)
    assert [file.name for file in files] == ["card.md", "forest.png", "report.html"]
    assert sorted(folder.iterdir()) == sorted(files)
    assert files[0].read_text(encoding="utf-8") == render_card(SEVERAL)
    assert files[1].read_bytes() == forest_plot(SEVERAL)
    report = files[2].read_text(encoding="utf-8")
    assert "rude: 2 samples" in report and "benign: 2 samples" in report
    SectionCard(samples=0).write(SEVERAL, samples(), folder)
    assert "Content warning" not in files[2].read_text(encoding="utf-8")


def test_a_missing_template_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises(ToxauditError, match="There is no template 'none'"):
        SectionCard(report="none").write(SEVERAL, [], tmp_path / "out")
    assert not (tmp_path / "out").exists()
