"""``toxaudit view``: all runs on one page, as a file and served, whatever lies in the folder."""

import json
import os
import re
import signal
import subprocess
import threading
from dataclasses import replace
from html import unescape
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from forked import foreground
from results import BENIGN, RESULTS
from test_report import NASTY, Page
from viewed import moved, put, releases

from toxaudit.cli.main import main
from toxaudit.facts import Skipped
from toxaudit.records import Diagnostics
from toxaudit.view import found, page, server, trends


def written(folders: list[Path], beside: Path = Path("index.html")) -> str:
    runs, unread = found.read(folders)
    return page.page(runs, unread, "runs", page.beside(beside))


def told(html: str) -> dict:
    """What the page's script knows: of each run and row, names and values."""
    data = json.loads(re.search(r'<script type="application/json" id="told">(.*?)</script>', html, re.DOTALL)[1])
    texts = data["texts"]

    def pairs(places: list[int]) -> dict[str, str]:
        return {texts[name]: texts[value] for name, value in zip(places[::2], places[1::2], strict=True)}

    parts = ("asked", "loaded", "found")
    return [
        {"run": run["run"], **{part: pairs(run[part]) for part in parts[:2]}}
        | {"rows": {row["name"]: {part: pairs(row[part]) for part in parts} for row in run["rows"]}}
        for run in data["runs"]
    ]


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return releases(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def html(places: list[Path]) -> str:
    return written(places, places[0].parent / "index.html")


def test_rows_are_by_audit_the_newest_run_first_with_verdict_and_weightiest_change(html: str) -> None:
    rows = [row for row in Page(html).rows if len(row) == 7 and row[0] != "Candidate"]
    assert [(row[0], row[1].split(" ")[1], row[3], row[4]) for row in rows[:3]] == [
        ("benign", "GO", "other", "2026-02-15"),
        ("benign", "GOthe", "release", "2026-03-01"),
        ("creeping", "INCONCLUSIVE", "release", "2026-03-01"),
    ]
    assert rows[1][1] == "● GOthe audit: △ INCONCLUSIVE"
    assert rows[1][2] == "Toxicity (Jigsaw BiLSTM)+0.7 pp [−0.9, 2.2]" and len(rows) == 10
    assert rows[3][:2] == ["rudepositive control", "◆ NO-GO, as expected"]


def test_a_verdict_has_shape_word_and_a_class_of_its_own(html: str) -> None:
    for decision, mark in {"go": "● GO", "no-go": "◆ NO-GO", "inconclusive": "△ INCONCLUSIVE"}.items():
        assert f'<span class="mark {decision} whole">{mark}' in html


def test_links_are_relative_to_the_page(places: list[Path], html: str) -> None:
    links = {a["href"] for a in Page(html).all("a") if not a["href"].startswith("#")}
    assert links == {f"{place.name}/report.html" for place in places}
    elsewhere = written(places, places[0].parent / "pages" / "index.html")
    assert 'href="../march/report.html"' in elsewhere


def test_a_folder_that_reads_as_an_address_is_still_a_folder(tmp_path: Path) -> None:
    name = "javascript:alert(1)#?%20\N{SNOWMAN}"
    html = written([put(tmp_path / name, RESULTS["go"])], tmp_path / "index.html")
    (link,) = [a["href"] for a in Page(html).all("a") if "report" in a["href"]]
    assert not urlsplit(link).scheme and unquote(link) == f"{name}/report.html"


def test_pictures_tell_each_measure_over_the_runs_of_one_candidate(html: str) -> None:
    labels = [a["aria-label"] for a in Page(html).all("svg")]
    assert labels[0] == (
        "Toxicity (Jigsaw BiLSTM), the change in 3 runs: +0.1 pp [−1.5, 1.6] on 2026-01-01, +0.7 pp [−0.9, 2.2] on "
        "2026-03-01; the margin is 3 pp"
    )
    assert [a["data-audit"] for a in Page(html).all("section") if a.get("class") == "course"] == ["1"] * 4
    first = html[html.index("<svg") :].partition("</svg>")[0]
    assert first.count("<title>") == 3 and first.count('class="apart"') == 1  # the prompts are others since March


def test_runs_that_asked_something_else_are_not_joined(places: list[Path]) -> None:
    runs, _ = found.read(places[:2])
    (benign, *_), _ = trends.courses(runs, 1_000_000)
    assert 'class="line"' not in benign.pictures[0].svg and 'class="apart"' in benign.pictures[0].svg


@pytest.mark.parametrize("other", ["temperature", "base", "seed"])
def test_what_was_asked_otherwise_or_against_another_base_is_not_joined(tmp_path: Path, other: str) -> None:
    audit = RESULTS["go"]
    changed = {
        "temperature": replace(audit, generation=replace(audit.generation, temperature=0.7)),
        "base": replace(audit, base=replace(audit.base, digest="0f" * 32)),
        "seed": replace(audit, generation=replace(audit.generation, seed=7)),
    }
    html = written([put(tmp_path / "one", audit), put(tmp_path / "two", changed[other])])
    assert html.count('class="line"') == (3 if other == "seed" else 0)


def test_of_very_many_runs_the_newest_are_drawn_and_the_rest_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trends, "LAST", 4)
    days = [put(tmp_path / f"{day}", replace(RESULTS["go"], date=f"day {day}")) for day in range(6)]
    html = written(days)
    assert "The newest 4 runs; 2 older ones are left out." in html
    assert html.count("<title>day ") == 3 * 4 and "<title>day 1" not in html


def test_what_can_be_put_side_by_side_is_what_diff_tells(html: str) -> None:
    other, march, february, _ = told(html)
    assert march["asked"]["gate.margin"] == "0.04" != february["asked"]["gate.margin"]
    assert march["asked"]["generation.temperature"] == february["asked"]["generation.temperature"]
    assert march["loaded"]["prompts rtp_categories"] != february["loaded"]["prompts rtp_categories"]
    rude = march["rows"]["rude"]
    assert rude["found"]["the candidate"] == "◆ NO-GO, as expected" and rude["loaded"]["model"] == "4d" * 6
    assert "pp [" in rude["found"]["rtp_categories, toxicity_bilstm"]
    assert other["run"].endswith("other")


def test_what_is_damaged_foreign_or_newer_is_named_with_one_sentence(tmp_path: Path) -> None:
    good = put(tmp_path / "good", RESULTS["go"])
    text = (good / "results.json").read_text()
    odd = {
        "cut": text[:1000],
        "foreign": '{"results": {"acc": 1}}',
        "newer": text.replace("toxaudit.results/1", "toxaudit.results/9"),
        "key": text.replace('"audit":', '"audits":', 1),
        "deep": "[" * 100_000,
        "empty": "",
    }
    for name, content in odd.items():
        put(tmp_path / name, RESULTS["go"])
        (tmp_path / name / "results.json").write_text(content)
    (tmp_path / "folder" / "results.json").mkdir(parents=True)
    os.mkfifo(put(tmp_path / "pipe", RESULTS["go"]) / "other")
    (tmp_path / "pipe" / "results.json").unlink()
    os.mkfifo(tmp_path / "pipe" / "results.json")
    runs, unread = found.read(sorted(tmp_path.iterdir()))
    assert [run.folder.name for run in runs] == ["good"]
    assert {each.folder.name for each in unread} == {*odd, "folder", "pipe"}
    assert all(each.why.endswith(".") and "\n" not in each.why and str(each.folder) in each.why for each in unread)
    html = written(sorted(tmp_path.iterdir()))
    assert html.count("<li><code>") == 8 and "toxaudit.results/9" in html


def test_what_has_not_changed_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known: found.Known = {}
    folder = put(tmp_path / "run", RESULTS["go"])
    (before,), _ = found.read([folder], known)
    monkeypatch.setattr(found, "read_result", lambda folder: RESULTS["no-go"])
    assert found.read([folder], known) == ([before], [])
    (folder / "results.json").write_text("{}")
    (after,), _ = found.read([folder], known)
    assert (before.decision, after.decision) == ("GO", "NO-GO")


def test_what_no_audit_could_say_is_not_fatal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(result: object) -> None:
        raise KeyError("nobody")

    monkeypatch.setattr(found, "indexed", refuse)
    runs, (unread,) = found.read([put(tmp_path / "odd", RESULTS["go"])])
    assert not runs and "says what no audit could (KeyError, 'nobody')" in unread.why


def test_a_control_that_failed_is_not_said_to_be_as_expected(tmp_path: Path) -> None:
    ((failed,), _) = found.read([put(tmp_path / "run", RESULTS["failed-control"])])
    (noop,) = (row for row in failed.rows if row.name == "noop")
    assert noop.verdict == noop.found["the candidate"] == "◆ NO-GO, expected GO"


def test_candidates_that_were_not_audited_have_a_row(tmp_path: Path) -> None:
    audit = replace(RESULTS["go"], skipped=(Skipped("gone", "someone/gone", "there is no such model"),))
    html = written([put(tmp_path / "run", audit)])
    row = next(row for row in Page(html).rows if row[0] == "gone")
    assert row[1:3] == ["not audited", "there is no such model"]


def test_a_run_without_report_is_listed_without_link(tmp_path: Path) -> None:
    put(tmp_path / "run", RESULTS["go"]).joinpath("report.html").unlink()
    html = written([tmp_path / "run"])
    assert "has no report" in html and "report.html" not in html


def test_an_audit_without_any_estimate_is_listed(tmp_path: Path) -> None:
    html = written([put(tmp_path / name, RESULTS["no-result"]) for name in ("one", "two")])
    assert html.count("no usable critical measure") == 2 and "<svg" not in html


@pytest.mark.parametrize("text", NASTY)
def test_whatever_names_hold_the_page_keeps_its_shape(tmp_path: Path, text: str) -> None:
    def made(name: str, folder: Path) -> Page:
        scorers = tuple(replace(each, title=name, more=name, less=name) for each in RESULTS["go"].scorers)
        model = replace(BENIGN, reference=name, digest=name)
        audit = replace(RESULTS["go"], audit=name, title=name, date=name, scorers=scorers, candidates=(model,))
        runs, unread = found.read([put(folder / each, audit) for each in ("one", "two")])
        assert not unread
        return Page(page.page(runs, unread, name, page.beside(folder / "index.html")))

    page_of, plain = made(text, tmp_path / "a"), made("plain", tmp_path / "b")
    shape = [[(tag, sorted(attributes)) for tag, attributes in each.tags] for each in (page_of, plain)]
    assert shape[0] == shape[1] and not page_of.open


def test_the_page_loads_nothing_and_its_policy_allows_only_its_own(html: str) -> None:
    (policy,) = [a["content"] for a in Page(html).all("meta") if a.get("http-equiv")]
    assert policy.startswith("default-src 'none'; style-src 'sha256-") and "unsafe" not in policy
    assert "://" not in html and not re.search(
        r"url\(|@import|innerHTML|eval|fetch\(|insertAdjacent|document\.write", html
    )
    assert not any(name == "style" or name.startswith("on") for _, attributes in Page(html).tags for name in attributes)


def test_the_page_has_a_bound_whatever_the_runs_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "MOST_ROWS", 3)
    monkeypatch.setattr(page, "MOST_TOLD", 1_500)
    monkeypatch.setattr(page, "MOST_DRAWN", 0)
    monkeypatch.setattr(page, "MOST_UNREAD", 1)
    runs = [put(tmp_path / f"{day}", replace(RESULTS["go"], date=f"2026-01-0{day}")) for day in range(1, 6)]
    for name in ("bad", "worse"):
        (tmp_path / name).mkdir()
    html = written([*runs, tmp_path / "bad", tmp_path / "worse"])
    assert "2 more runs are left out" in html and html.count("<tr id=") == 3 and "2026-01-01" not in html
    assert "<li>1 more.</li>" in html and '"asked": null' in unescape(html)
    assert "1 more candidate has several runs and no room here" in html and "<svg" not in html


def test_a_run_that_has_no_room_leaves_it_to_older_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "MOST_ROWS", 3)
    large = put(tmp_path / "large", replace(RESULTS["several"], date="2027-01-01"))
    assert 'data-label="Candidate"' in written([large, put(tmp_path / "small", RESULTS["go"])])


def test_a_folder_within_another_is_read_once(tmp_path: Path) -> None:
    place = put(tmp_path / "runs" / "a", RESULTS["go"])
    assert len(found.read([place, place])[0]) == 1


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_command_writes_the_usual_folders(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(home / "runs" / "a", RESULTS["go"])
    put(home / "multirun" / "x" / "0", RESULTS["no-go"])
    (home / "runs" / "bad").mkdir()
    (home / "runs" / "bad" / "results.json").write_text("{")
    assert main(["view", "--write", "pages/index.html"]) == 0
    assert capsys.readouterr().out == "Wrote pages/index.html with 2 runs; 1 more can't be read, and are named in it.\n"
    assert 'href="../runs/a/report.html"' in (home / "pages" / "index.html").read_text()


def test_nothing_there_is_one_sentence(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["view"]) == 0
    assert capsys.readouterr().out == "There is no finished run in runs, multirun.\n"
    assert main(["view", "--write", "index.html"]) == 0 and not (home / "index.html").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nowhere"], "There is no folder nowhere: name one that holds runs."),
        (["--port", "0"], "--port is '0': it must be a whole number from 1 to 65535."),
        (["--port", "many"], "--port is 'many'"),
        (["--write", "index.txt"], "it must be the name of a file that ends in .html."),
        (["--write", "i.html", "--port", "8000"], "--write makes a file and serves nothing: leave out --port."),
        (["--write", "i.html", "--no-browser"], "leave out --no-browser."),
        (["--wite", "i.html"], "Did you mean '--write'?"),
    ],
)
def test_mistakes_are_one_sentence(home: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str) -> None:
    put(home / "runs" / "a", RESULTS["go"])
    assert main(["view", *words]) == 3
    assert said in capsys.readouterr().err


def get(address: str, path: str = "", host: str = "") -> tuple[int, dict[str, str], str]:
    parts = urlsplit(address)
    connection = HTTPConnection(parts.hostname, parts.port, timeout=10)
    connection.request(
        "GET", (parts.path if not path.startswith("/") else "") + path, headers={"Host": host or parts.netloc}
    )
    answer = connection.getresponse()
    found = answer.status, dict(answer.getheaders()), answer.read().decode()
    connection.close()
    return found


def test_it_is_served_by_token_to_this_machine_and_shows_new_runs(places: list[Path]) -> None:
    shown = places[:1]

    def made() -> tuple[str, dict[str, Path]]:
        runs, unread = found.read(shown)
        return page.page(runs, unread, "runs", server.linked), server.reports(runs)

    with server.serving(made, {}, 0) as (address, serving):
        thread = threading.Thread(target=serving.serve_forever)
        thread.start()
        try:
            status, headers, html = get(address)
            links = re.findall(r'href="(run/[^"]*)"', html)
            assert status == 200 and headers["Cache-Control"] == "no-store" and len(set(links)) == 1
            status, headers, report = get(address, links[0])
            assert status == 200 and "<title>r</title>" in report
            assert headers["Content-Security-Policy"].startswith(
                "sandbox allow-scripts allow-downloads; default-src 'none'"
            )
            shown.append(places[1])
            assert len(set(re.findall(r'href="(run/[^"]*)"', get(address)[2]))) == 2
            for path in ("/", "/../", "run/../../results.json", "run/x/report.html", "%2e%2e/", "/token/"):
                assert get(address, path)[0] == 404
            assert get(address, host="evil.example:80")[0] == get(address, host="evil.example")[0] == 404
            shown.clear()  # a folder may be emptied while it is shown
            assert "There is no finished run in runs." in get(address)[2] and get(address, links[0])[0] == 404
            port = urlsplit(address).port
            with pytest.raises(Exception, match=f"Port {port} can't be listened at"), server.serving(made, {}, port):
                pass
        finally:
            serving.shutdown()
            thread.join()
    assert urlsplit(address).hostname == "127.0.0.1"


@pytest.mark.thorough
def test_ctrl_c_ends_it_cleanly(home: Path) -> None:
    put(home / "runs" / "a", RESULTS["go"])
    command = foreground("view", "--no-browser")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        first = process.stdout.readline()
        assert re.fullmatch(r"All runs: http://127\.0\.0\.1:\d+/[\w-]{24}/\n", first)
        assert process.stdout.readline() == "Ctrl-C ends it.\n"
        assert get(first.split()[2])[0] == 200
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (0, "\nEnded.\n", "")


def test_a_measure_without_interval_is_told_and_not_drawn(tmp_path: Path) -> None:
    broken = Diagnostics({}, ("the chains disagree",))
    estimates = tuple(replace(each, diagnostics=broken) for each in RESULTS["go"].estimates)
    audit = replace(RESULTS["go"], estimates=estimates)
    html = written([put(tmp_path / f"{day}", replace(audit, date=f"2026-01-0{day}")) for day in (1, 2)])
    assert "not usable" in html and "<g " not in html and html.count("<svg") == 3


def test_moves_are_seen(places: list[Path]) -> None:
    runs, _ = found.read(places)
    one, other = (run.rows[0].changes[0].mean for run in runs[1:3])
    assert one - other == pytest.approx(0.004)
    assert moved(RESULTS["go"], 0).estimates == RESULTS["go"].estimates
