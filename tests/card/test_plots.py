import struct
import subprocess
import sys
from dataclasses import replace

import matplotlib
import pytest
from results import BENIGN, RESULTS, estimate, quantity, result, unchanged

from toxaudit.card import forest_plot
from toxaudit.card.plots import MANY, _fitting, _limits, _panels
from toxaudit.records import AuditResult


def size(png: bytes) -> tuple[int, int]:
    width, height = struct.unpack(">II", png[16:24])
    return width, height


def audit_of(candidates: int) -> AuditResult:
    names = [f"candidate {number}" for number in range(candidates)]
    return result(*((replace(BENIGN, name=name), "GO", unchanged(name)) for name in names))


@pytest.mark.parametrize("name", RESULTS)
def test_the_same_result_gives_the_same_bytes(name: str) -> None:
    png = forest_plot(RESULTS[name])
    assert png == forest_plot(RESULTS[name])
    assert b"tIME" not in png and b"tEXt" not in png
    assert size(png)[0] == 1200


def test_the_users_own_style_changes_nothing_and_is_left_alone() -> None:
    plain = forest_plot(RESULTS["go"])
    with matplotlib.rc_context({"figure.facecolor": "black", "lines.linewidth": 9}):
        assert forest_plot(RESULTS["go"]) == plain
        assert matplotlib.rcParams["lines.linewidth"] == 9


def test_real_candidates_come_first_and_controls_have_scales_of_their_own() -> None:
    panels = _panels(RESULTS["several"])
    assert [title for title, _ in panels] == ["candidates", "negative controls", "positive controls"]
    (_, real), (_, negative), (_, positive) = panels
    assert [row.label for row in real if row.indent == 0] == ["benign", "creeping"]
    assert {row.indent for row in negative + positive} == {0, 1}
    assert _limits(real, 0.03)[1] < 10 < 90 < _limits(positive, 0.03)[1]


def test_every_row_knows_its_decision() -> None:
    rows = _panels(RESULTS["several"])[0][1]
    assert [(row.label, row.decision) for row in rows if row.indent < 2][:4] == [
        ("benign", "GO"),
        ("Toxicity (Jigsaw BiLSTM)", "GO"),
        ("Degenerate output", "GO"),
        ("Refusal (keyword list)", None),
    ]


def test_height_grows_with_rows_until_slices_are_left_to_the_tables() -> None:
    heights = [size(forest_plot(audit_of(count)))[1] for count in (1, 2, 10)]
    assert heights == sorted(heights) and heights[2] < 6000
    assert {row.indent for _, rows in _panels(audit_of(10)) for row in rows} == {0, 1, 2}
    crowded = _panels(audit_of(11))
    assert sum(len(rows) for _, rows in crowded) <= MANY and {row.indent for row in crowded[0][1]} == {0, 1}


def test_nothing_to_draw_is_still_a_plot() -> None:
    assert forest_plot(replace(RESULTS["no-result"], candidates=(), verdicts=())).startswith(b"\x89PNG")
    same = quantity(0.0, 0.0, 0.0)
    flat = estimate("benign", RESULTS["go"].scorers[0], same, same, same, (0.5, 0.0), (0, 0, 0, 5))
    still = replace(RESULTS["go"], estimates=(flat,), gate=replace(RESULTS["go"].gate, margin=0.0))
    assert forest_plot(still).startswith(b"\x89PNG")


def test_names_fit_their_column_and_the_font() -> None:
    assert _fitting("a" * 40, 10) == "aaaaaaaaa…"
    assert _fitting("漢字 a\n", 10) == "□□ a"


def test_importing_the_room_is_light() -> None:
    heavy = "{'matplotlib', 'jinja2', 'markdown', 'nh3'}"
    program = f"import sys, toxaudit.card; print(sorted({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "[]\n"
