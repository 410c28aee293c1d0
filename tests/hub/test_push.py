"""A run goes to a model's repository by the real Hub client, over HTTP, and harms nothing that is there."""

import base64
import json
import random
import re
import shutil
import signal
import threading
import time
import urllib.error
import urllib.request
from dataclasses import replace
from pathlib import Path

import finished
import pytest
import yaml
from hub_server import Hub, Repository
from hub_writing import PullRequest
from hypothesis import HealthCheck, example, given, settings
from pushing import ALICE, BOB, DIED, FINE, READS, Client, client
from readmes import LATER, SECTION, Readme, readmes
from results import RESULTS, draws  # noqa: E402

from toxaudit.card.readme.front_matter import find  # noqa: E402
from toxaudit.card.section import SectionCard  # noqa: E402
from toxaudit.findings import AuditResult
from toxaudit.hub.parcel import Parcel, edited  # noqa: E402
from toxaudit.results.reading import read_result  # noqa: E402

pytestmark = pytest.mark.thorough

COMMIT = "210d026faf9955653af8916fad021475a3f00453"
OWNERS = b"---\nlicense: llama3.1   # keep me\ntags: [lora, 'no']\n---\n# Card\r\nhello  \n\ntail without an end"
FILES = {"README.md", "toxaudit/forest.png", "toxaudit/densities.png", "toxaudit/groups.png"} | {
    "toxaudit/audit.md",
    "toxaudit/results.json",
    "toxaudit/bom.cdx.json",
    "toxaudit/junit.xml",
}


def written(result: AuditResult, folder: Path) -> Path:
    samples = finished.answered(result)
    _, found = finished.consistent_run(folder, result, samples)
    SectionCard().write(found, samples, draws(found), folder)
    return finished.sealed(folder)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(RESULTS["go"], tmp_path_factory.mktemp("runs") / "go")


@pytest.fixture(scope="module")
def later(run: Path) -> Path:
    """The same run with another card."""
    folder = run.with_name("later")
    shutil.copytree(run, folder)
    card = folder / "card.md"
    card.write_text(card.read_text().replace("Safety audit", "Safety audit, again"))
    return finished.sealed(folder)


@pytest.fixture
def model(hub: Hub) -> Repository:
    """A repository org/model, as it was before anything was pushed."""
    hub.repositories.clear()
    hub.asked.clear()
    hub.repositories["org/model"] = Repository({"main": {"README.md": OWNERS, "config.json": b"{}"}})
    return hub.repositories["org/model"]


def commits(hub: Hub) -> list[str]:
    return [request for request in hub.asked if "/commit/" in request]


def test_a_pull_request_brings_section_plots_and_results_and_leaves_the_rest(
    hub: Hub, alice: Client, model: Repository, run: Path
) -> None:
    lines = alice.pushed(run, "--repo", "org/model")
    assert lines[-1] == f"Pull request: {hub.url}/org/model/discussions/1"
    assert model.revisions["main"] == {"README.md": OWNERS, "config.json": b"{}"} and not model.heads.get("main")
    (opened,) = model.pull_requests
    assert (opened.title, opened.author) == ("toxaudit: safety audit", "alice")
    assert opened.description.startswith("toxaudit 0.1.0 compared this model with its base: GO.")
    sent = model.revisions["refs/pr/1"]
    assert set(sent) == FILES | {"config.json"}
    section = (run / "card.md").read_bytes().rstrip(b"\n")
    readme = sent["README.md"]
    assert readme.endswith(b"tail without an end\n\n" + section)
    assert readme.replace(b", toxaudit]", b"]").startswith(OWNERS.split(b"---\n# Card")[0])
    assert find(readme)["yaml"].startswith(
        b"license: llama3.1   # keep me\ntags: [lora, 'no', toxaudit]\nmodel-index:\n"
    )
    assert sent["toxaudit/forest.png"] == (run / "toxaudit" / "forest.png").read_bytes()
    assert json.loads(sent["toxaudit/bom.cdx.json"])["specVersion"] == "1.7"
    for each in FILES:
        assert any(line.split()[:2] == [each, f"{len(sent[each]):,}"] for line in lines)


def test_the_results_that_are_sent_can_be_read_again(
    alice: Client, model: Repository, run: Path, tmp_path: Path
) -> None:
    alice.pushed(run, "--repo", "org/model", "--direct")
    (tmp_path / "results.json").write_bytes(model.revisions["main"]["toxaudit/results.json"])
    assert read_result(tmp_path) == read_result(run)


def test_the_same_content_sends_nothing(hub: Hub, alice: Client, model: Repository, run: Path) -> None:
    for how, where in ((["--direct"], f"{hub.url}/org/model"), ([], f"{hub.url}/org/model")):
        alice.pushed(run, "--repo", "org/model", *how)
        before = commits(hub)
        assert alice.pushed(run, "--repo", "org/model", *how)[-1] == f"{where} has all of it already: nothing was sent."
        assert commits(hub) == before == ["POST /api/models/org/model/commit/main"]
    assert not model.pull_requests


@pytest.mark.parametrize("how", [[], ["--direct"]], ids=["pull request", "direct"])
def test_a_push_that_is_killed_is_whole_or_nothing_and_the_next_one_finishes_it(
    hub: Hub, alice: Client, model: Repository, run: Path, tmp_path: Path, how: list[str]
) -> None:
    """Killed by the server: at one of its first requests, chosen at random, and at its commit."""
    words, first = [run, "--repo", "org/model", *how], random.SystemRandom().randrange(2, 6)
    print(f"killed at request {first}, and at the commit")
    for at_commit in (False, True):
        before, folder = len(hub.asked), tmp_path / str(at_commit)
        folder.mkdir()
        with client(hub.url, folder, ends=-signal.SIGKILL) as dying:
            watching = threading.Thread(target=kill_at, args=(hub, before + first, dying))
            if at_commit:
                model.before_commit = dying.process.kill
            else:
                watching.start()
            with pytest.raises(AssertionError, match=DIED):
                dying.push(*words)
        if not at_commit:
            watching.join()
            assert not commits(hub) and not model.pull_requests and not model.heads
    model.before_commit = None
    while not (model.heads or model.pull_requests):  # the server goes on with what has reached it
        time.sleep(0.01)
    branch = "main" if how else "refs/pr/1"
    left = model.revisions[branch]
    assert alice.pushed(*words)[-1].endswith(" has all of it already: nothing was sent.")
    assert model.revisions[branch] == left and set(left) == FILES | {"config.json"}
    assert len(model.pull_requests) == (0 if how else 1) and len(commits(hub)) == 1


def kill_at(hub: Hub, requests: int, client: Client) -> None:
    while len(hub.asked) < requests:
        time.sleep(0.0005)
    client.process.kill()


def test_ones_own_open_pull_request_is_updated_not_doubled(
    hub: Hub, alice: Client, model: Repository, run: Path, later: Path
) -> None:
    model.pull_requests += [
        PullRequest(1, "toxaudit: safety audit", "bob", ""),
        PullRequest(2, "Add weights", "alice", ""),
        PullRequest(3, "toxaudit: safety audit", "alice", "", status="closed"),
    ]
    alice.pushed(run, "--repo", "org/model")
    first = model.revisions["refs/pr/4"]
    address = f"{hub.url}/org/model/discussions/4"
    assert alice.pushed(run, "--repo", "org/model")[-1] == f"{address} has all of it already: nothing was sent."
    lines = alice.pushed(later, "--repo", "org/model")
    assert lines[-1] == f"Pull request: {address}" and f"To {address}," in "\n".join(lines)
    assert [each.number for each in model.pull_requests] == [1, 2, 3, 4]
    second = model.revisions["refs/pr/4"]
    assert second["README.md"] == first["README.md"].replace(b"Safety audit\n", b"Safety audit, again\n")
    assert {path for path in second if second[path] != first[path]} == {"README.md"}


def test_only_what_changed_is_sent(alice: Client, model: Repository, run: Path, later: Path) -> None:
    alice.pushed(run, "--repo", "org/model", "--direct")
    lines = alice.pushed(later, "--repo", "org/model", "--direct")
    assert [line.split()[0] for line in lines if line.startswith("  ")] == ["README.md"]
    assert lines[-1].startswith("Committed: ") and lines[-1].endswith(f"/org/model/commit/{model.heads['main']}")


def test_a_repository_without_readme_gets_the_whole_card(alice: Client, model: Repository, run: Path) -> None:
    del model.revisions["main"]["README.md"]
    alice.pushed(run, "--repo", "org/model", "--direct")
    readme, whole = model.revisions["main"]["README.md"], (run / "model_card.md").read_bytes()
    assert readme.partition(b"\n---\n")[2] == whole.partition(b"\n---\n")[2]
    assert yaml.safe_load(find(readme)["yaml"]) == yaml.safe_load(find(whole)["yaml"])
    assert "nothing was sent" in alice.pushed(run, "--repo", "org/model", "--direct")[-1]


def patched(text: str, difference: list[str]) -> str:
    """A text with a unified difference applied to it."""
    lines, done, at = text.split("\n"), [], 0
    for line in difference[2:]:
        if header := re.match(r"@@ -(\d+)", line):
            done += lines[at : int(header[1]) - 1]
            at = int(header[1]) - 1
        elif line.startswith("\\"):
            continue
        elif line[0] in " -":
            assert line[1:] == lines[at]
            at += 1
        if line[0] in " +":
            done.append(line[1:])
    return "\n".join(done + lines[at:])


@pytest.mark.parametrize("how", [[], ["--direct"]])
def test_a_dry_run_shows_the_exact_change_and_sends_nothing(
    hub: Hub, alice: Client, model: Repository, run: Path, how: list[str]
) -> None:
    code, out, _ = alice.push(run, "--repo", "org/model", "--dry-run", *how, token=READS)
    assert code == 0 and out.endswith("\nThis was a dry run: nothing was sent.\n")
    assert not commits(hub) and not model.heads and not model.pull_requests
    difference = out.partition("--- a/README.md\n")[2].partition("\nThis was a dry run")[0].split("\n")
    assert difference[0] == "+++ b/README.md"
    alice.pushed(run, "--repo", "org/model", "--direct")
    assert patched(OWNERS.decode(), ["", *difference]) == model.revisions["main"]["README.md"].decode()
    assert difference.count("\\ No newline at end of file") == 2


def test_a_dry_run_shows_nothing_that_acts_unseen(alice: Client, model: Repository, run: Path) -> None:
    model.revisions["main"]["README.md"] = "# a\x1b[31m\u202e\n".encode()
    _, out, _ = alice.push(run, "--repo", "org/model", "--dry-run")
    assert "\x1b" not in out and "\u202e" not in out and "\n # a\ufffd[31m\ufffd\n" in out


@pytest.mark.usefixtures("without_plots")
def test_completions_are_sent_only_when_asked_for_and_only_this_candidates(
    alice: Client, model: Repository, tmp_path: Path
) -> None:
    several = written(RESULTS["several"], tmp_path / "several")
    lines = alice.pushed(several, "--repo", "org/model", "--candidate", "creeping", "--samples", "--direct")
    assert "Warning: --samples publishes prompts and completions, which may be offensive or harmful." in lines
    sent = model.revisions["main"]
    found = [json.loads(line) for line in sent["toxaudit/samples_rtp_categories.jsonl"].splitlines()]
    assert [row["model"] for row in found] == ["base"] * 350 + ["creeping"] * 350
    folder = several / "candidates" / "creeping"
    assert (folder / "card.md").read_bytes().rstrip() in sent["README.md"]
    assert sent["toxaudit/forest.png"] == (folder / "toxaudit" / "forest.png").read_bytes()
    names = [model["name"] for model in json.loads(sent["toxaudit/results.json"])["candidates"]]
    assert names == ["creeping", "rude", "noop"]


@pytest.mark.usefixtures("without_plots")
def test_the_candidate_that_was_read_from_the_repository_is_the_one_meant(
    alice: Client, model: Repository, tmp_path: Path
) -> None:
    several = RESULTS["several"]
    result = replace(
        several,
        candidates=tuple(
            replace(each, reference="org/model", revision=COMMIT) if each.name == "creeping" else each
            for each in several.candidates
        ),
    )
    run = written(result, tmp_path / "several")
    assert alice.pushed(run, "--repo", "org/model")[0].startswith("Candidate 'creeping' of ")
    assert "one of benign, creeping" in alice.refused(run, "--repo", "org/other")
    assert "no card of a candidate 'creping'. Did you mean 'creeping'?" in alice.refused(
        run, "--repo", "org/model", "--candidate", "creping"
    )


EASY = b"tasks:\n- {id: easy, split: test}\n"


@pytest.mark.usefixtures("without_plots")
@pytest.mark.parametrize("benchmark", [EASY, b"tasks:\n- {id: easy, split: train}\n", None])
def test_right_answers_go_to_a_registered_benchmark(
    hub: Hub, alice: Client, model: Repository, tmp_path: Path, benchmark: bytes | None
) -> None:
    go = RESULTS["go"]
    suite = replace(go.suites[0], source=f"org/arc@{COMMIT}", revision=COMMIT, choices=True, available=350)
    suite = replace(suite, split="test")
    wrong = replace(go.scorers[0], noun="wrong answers")
    run = written(replace(go, suites=(suite,), scorers=(wrong, *go.scorers[1:])), tmp_path / "run")
    files = {} if benchmark is None else {"eval.yaml": benchmark}
    hub.repositories["org/arc"] = Repository({"main": files}, kind="datasets")
    alice.pushed(run, "--repo", "org/model", "--direct")
    sent = model.revisions["main"].get(".eval_results/toxaudit.yaml")
    assert (sent is not None) == (benchmark == EASY)
    if sent:
        (entry,) = yaml.safe_load(sent)
        assert entry["dataset"] == {"id": "org/arc", "task_id": "easy", "revision": COMMIT}
        assert (entry["value"], entry["source"]["name"]) == (93.6, "toxaudit")
        part = written(replace(read_result(run), suites=(replace(suite, available=900),)), tmp_path / "part")
        lines = alice.pushed(part, "--repo", "org/model", "--direct")
        assert "  .eval_results/toxaudit.yaml  withdrawn" in "\n".join(lines)
        assert ".eval_results/toxaudit.yaml" not in model.revisions["main"]


@pytest.mark.usefixtures("without_plots")
def test_a_benchmark_that_can_not_be_asked_stops_nothing(
    hub: Hub, alice: Client, model: Repository, tmp_path: Path
) -> None:
    go = RESULTS["go"]
    suite = replace(
        go.suites[0], source=f"org/arc@{COMMIT}", revision=COMMIT, choices=True, available=350, split="test"
    )
    wrong = replace(go.scorers[0], noun="wrong answers")
    run = written(replace(go, suites=(suite,), scorers=(wrong, *go.scorers[1:])), tmp_path / "run")
    hub.repositories["org/arc"] = Repository({"main": {}}, kind="datasets", refused={"file": (503, "")})
    lines = alice.pushed(run, "--repo", "org/model")
    assert "Note: no .eval_results of rtp_categories: The Hub has failed (503)" in "\n".join(lines)


@pytest.mark.usefixtures("without_plots")
def test_what_this_candidate_does_not_have_is_withdrawn(alice: Client, model: Repository, tmp_path: Path) -> None:
    run = written(RESULTS["several"], tmp_path / "run")
    alice.pushed(run, "--repo", "org/model", "--direct", "--samples", "--candidate", "benign")
    assert "toxaudit/samples_rtp_categories.jsonl" in model.revisions["main"]
    model.revisions["main"]["toxaudit/mine.png"] = b"mine"
    alice.pushed(run, "--repo", "org/model", "--direct", "--candidate", "creeping")
    there = model.revisions["main"]
    assert "toxaudit/samples_rtp_categories.jsonl" not in there and "toxaudit/groups.png" not in there
    assert there["toxaudit/mine.png"] == b"mine"
    assert b"creeping" in there["README.md"] and b"benign" not in there["README.md"]


def test_a_pull_request_on_a_readme_that_has_changed_since_says_so(
    alice: Client, model: Repository, run: Path, later: Path
) -> None:
    alice.pushed(run, "--repo", "org/model")
    assert not any("has changed since" in line for line in alice.pushed(run, "--repo", "org/model"))
    model.revisions["main"]["README.md"] += b"\nThe owner's new line.\n"
    for again in (run, later):
        lines = alice.pushed(again, "--repo", "org/model")
        assert any("README has changed since this pull request was opened" in line for line in lines)


def test_anothers_work_under_a_longer_title_is_left_alone(alice: Client, model: Repository, run: Path) -> None:
    alice.pushed(run, "--repo", "org/model")
    model.pull_requests[0].title += " of the adapters and much else"
    assert alice.pushed(run, "--repo", "org/model")[-1].endswith("/discussions/2")


def test_a_run_without_the_plots_that_its_card_shows_is_refused(
    alice: Client, model: Repository, tmp_path: Path
) -> None:
    run = written(RESULTS["go"], tmp_path / "run")
    (run / "toxaudit" / "forest.png").unlink()
    assert "toxaudit/forest.png: run `toxaudit card" in alice.refused(run, "--repo", "org/model")


@pytest.mark.parametrize("answer", [b"{}", b"[]", b"null", b'{"name": "alice", "auth": null}'])
def test_odd_answers_of_the_hub_end_in_a_sentence(
    hub: Hub, alice: Client, model: Repository, run: Path, answer: bytes
) -> None:
    hub.odd["/api/whoami-v2"] = answer
    hub.odd["/api/models/org/model/commit/main"] = answer
    try:
        code, _, err = alice.push(run, "--repo", "org/model")
    finally:
        hub.odd.clear()
    assert code == 3 and "the Hub answered something that its client can't read" in err and "defect" not in err


@pytest.mark.usefixtures("without_plots")
def test_the_owners_metadata_win_and_the_plan_says_so(
    alice: Client, model: Repository, run: Path, tmp_path: Path
) -> None:
    model.revisions["main"]["README.md"] = b"---\nbase_model: x/y\nmodel-index: text\n---\ntext\n"
    go = RESULTS["go"]
    from_hub = replace(go, base=replace(go.base, reference="org/base", revision=COMMIT))
    lines = alice.pushed(written(from_hub, tmp_path / "run"), "--repo", "org/model", "--direct")
    assert "Note: base_model stays x/y, as its owner has it; of this audit it is org/base." in lines
    assert any(line.startswith("Note: model-index stays as it is: ") for line in lines)
    head = model.revisions["main"]["README.md"].partition(b"\ntext\n")[0]
    assert head == b"---\nbase_model: x/y\nmodel-index: text\ntags: [toxaudit]\n---"


def intact(readme: Readme, sent: bytes) -> bool:
    """Whether all is there that the owner wrote, where it was, and one section of ours."""
    found, now = find(readme.data), find(sent)
    start = found.end() if found else 3 * readme.data.startswith(b"\xef\xbb\xbf")
    assert now and sent[now.end() :].startswith(readme.before[start:]) and sent.endswith(readme.after)
    kept = iter(now[0].replace(b", toxaudit]", b"]").replace(b", toxaudit ]", b" ]").splitlines(keepends=True))
    owners = readme.data[:start].splitlines(keepends=True) if found else []
    assert sent.startswith(readme.data[:3]) or not readme.data.startswith(b"\xef\xbb\xbf")
    return all(line in kept for line in owners) and sent.count(b"## Safety audit") == 1


@pytest.mark.slow
@settings(max_examples=300, suppress_health_check=list(HealthCheck))
@example(Readme(b"---\r\nlicense: mit\r\n---\r\n" + b"1 MB \xf0\x9f\x9a\x80\n" * 100_000, b"", False))
@given(readme=readmes(foreign_bytes=False))
def test_hundreds_of_readmes_survive_insert_update_and_a_second_time(readme: Readme) -> None:
    """A mistake with one README in a hundred is found by 95 of 100 such runs."""
    there = readme.data
    for section, value in ((SECTION, 6.4), (LATER, 7.1)):
        metrics = [{"type": "toxicity", "value": value, "args": {"change_hdi_95": [-1.3, 1.8]}}]
        mine = {
            "dataset": {"name": "x: y", "type": "x"},
            "metrics": metrics,
            "source": {"name": "toxaudit", "url": "u"},
        }
        index = [{"name": "mine", "results": [mine]}]
        parcel = Parcel(section.encode(), b"", {"tags": ["toxaudit"], "model-index": index}, {}, "")
        there, _ = edited(there, parcel)
        assert intact(readme, there)
        assert edited(there, parcel)[0] == there


def test_every_readme_survives_push_update_and_a_second_push(hub: Hub, alice: Client, run: Path, later: Path) -> None:
    @settings(max_examples=8, suppress_health_check=list(HealthCheck))
    @given(readmes(foreign_bytes=False))
    def survives(readme: Readme) -> None:
        repository = hub.repositories["org/any"] = Repository({"main": {"README.md": readme.data}})
        for each in (run, later):
            alice.pushed(each, "--repo", "org/any", "--direct")
            assert intact(readme, repository.revisions["main"]["README.md"])
            head = repository.heads["main"]
            assert alice.pushed(each, "--repo", "org/any", "--direct")[-1].endswith("nothing was sent.")
            assert repository.heads["main"] == head

    survives()


def edit(url: str, line: str) -> None:
    """Add a line to a README as another careful writer does: on what was read, and again where that has moved."""

    def ask(path: str, data: bytes | None = None) -> bytes:
        request = urllib.request.Request(f"{url}{path}", data, {"Authorization": f"Bearer {ALICE}"})
        with urllib.request.urlopen(request) as answer:
            return answer.read()

    while True:
        sha = json.loads(ask("/api/models/org/model"))["sha"]
        readme = ask(f"/org/model/resolve/{sha}/README.md") + f"\n{line}\n".encode()
        value = {"content": base64.b64encode(readme).decode(), "path": "README.md", "encoding": "base64"}
        header = {"key": "header", "value": {"summary": line, "description": "", "parentCommit": sha}}
        body = "\n".join(map(json.dumps, [header, {"key": "file", "value": value}])).encode()
        try:
            ask("/api/models/org/model/commit/main", body)
            return
        except urllib.error.HTTPError as error:
            assert error.code == 412


def test_two_rival_writers_and_twenty_pushes_lose_no_edit(
    hub: Hub, alice: Client, model: Repository, run: Path, later: Path
) -> None:
    done = threading.Event()
    written: dict[str, list[str]] = {"one": [], "two": []}
    turns = {name: threading.Semaphore(2) for name in written}  # or a slow machine's pushes would never come through

    def rival(name: str) -> None:
        while not done.wait(random.uniform(0.02, 0.1)):
            if not turns[name].acquire(timeout=0.1):
                continue
            line = f"rival {name}, edit {len(written[name])}"
            edit(hub.url, line)
            written[name].append(line)

    rivals = [threading.Thread(target=rival, args=(name,)) for name in written]
    for thread in rivals:
        thread.start()
    succeeded, moved = 0, 0
    while succeeded < 20 or (not moved and succeeded < 200):  # on a loaded machine, rivals may rest while pushes read
        code, out, err = alice.push((run, later)[succeeded % 2], "--repo", "org/model", "--direct")
        assert code == 0 or "changed by others 5 times" in err
        if code == 0:
            succeeded += 1
            for turn in turns.values():
                turn.release()
        moved += out.count("was changed by somebody else meanwhile")
    done.set()
    for thread in rivals:
        thread.join()
    readme = model.revisions["main"]["README.md"].decode()
    assert moved and all(len(lines) > 5 for lines in written.values())
    for name, lines in written.items():
        assert [line for line in readme.split("\n") if line.startswith(f"rival {name}")] == lines
    assert readme.count("Safety audit, again") == readme.count("<!-- toxaudit:begin -->") == 1
    assert "# Card\r\nhello  \n\ntail without an end\n" in readme


def test_an_edit_between_reading_and_writing_survives(hub: Hub, alice: Client, model: Repository, run: Path) -> None:
    rivals = iter([b"an edit\n", b"another\n"])

    def before() -> None:
        if line := next(rivals, None):
            files = model.revisions["main"]
            model.write("main", files | {"README.md": files["README.md"] + line})

    model.before_commit = before
    lines = alice.pushed(run, "--repo", "org/model", "--direct")
    assert lines.count("org/model was changed by somebody else meanwhile: it is read again.") == 2
    assert b"tail without an endan edit\nanother\n" in model.revisions["main"]["README.md"]
    assert len(commits(hub)) == 3


def test_a_branch_that_never_rests_ends_in_a_sentence(alice: Client, model: Repository, run: Path) -> None:
    def before() -> None:
        files = model.revisions["main"]
        model.write("main", files | {"README.md": files["README.md"] + b"more\n"})

    model.before_commit = before
    sentence = alice.refused(run, "--repo", "org/model", "--direct")
    assert sentence == "org/model was changed by others 5 times meanwhile: push again later."
    assert model.revisions["main"]["README.md"] == OWNERS + b"more\n" * 5


WRITES_NOT = "The Hub does not let you write to org/model (403"
WAIT = "The Hub wants fewer requests for now (429): wait some minutes and push again."
FAILED = "The Hub has failed (503): push again later; what has arrived is not sent twice."


@pytest.mark.parametrize(
    ("call", "status", "sentence"),
    [
        *((call, (429, ""), WAIT) for call in ("info", "file", "discussions", "paths", "preupload", "lfs", "commit")),
        *((call, (503, ""), FAILED) for call in ("info", "file", "discussions", "paths", "preupload", "lfs", "commit")),
        ("commit", (403, ""), WRITES_NOT),
        ("preupload", (403, ""), WRITES_NOT),
        ("commit", (413, "TooLarge"), "The Hub refuses what was sent to org/model (413: TooLarge)."),
        ("file", (403, "GatedRepo"), "org/model is gated: accept its terms at "),
        ("info", (401, "GatedRepo"), "org/model is gated: accept its terms at "),
        ("info", (404, "RepoNotFound"), "The Hub has no repository org/model, or it is private: check the name"),
    ],
)
def test_what_the_hub_refuses_is_one_sentence_and_changes_nothing(
    alice: Client, model: Repository, run: Path, call: str, status: tuple[int, str], sentence: str
) -> None:
    model.refused[call] = status
    assert alice.refused(run, "--repo", "org/model").startswith(sentence)
    assert model.revisions == {"main": {"README.md": OWNERS, "config.json": b"{}"}} and not model.heads


@pytest.mark.parametrize(
    ("token", "words", "sentence"),
    [
        (None, [], "You are not logged in to the Hub: run `hf auth login` or set HF_TOKEN."),
        ("hf_unknown", [], "The Hub does not accept your token: run `hf auth login`, or set another HF_TOKEN."),
        (READS, [], "Your Hub token may only read: run `hf auth login` with one that may write."),
        (BOB, ["--direct"], f"{WRITES_NOT}: You have read access but not the required permissions for this operation)"),
    ],
)
def test_who_may_not_write_is_told_so(
    alice: Client, model: Repository, run: Path, token: str | None, words: list[str], sentence: str
) -> None:
    assert alice.refused(run, "--repo", "org/model", *words, token=token).startswith(sentence)
    assert not model.heads


def test_others_and_fine_grained_tokens_may_open_pull_requests(alice: Client, model: Repository, run: Path) -> None:
    for number, token in enumerate((BOB, FINE), start=1):
        assert alice.pushed(run, "--repo", "org/model", token=token)[-1].endswith(f"/discussions/{number}")


@pytest.mark.parametrize(
    ("readme", "sentence"),
    [
        (b"---\na: 1\nb: [\n---\n", "README.md, line 4: the front matter is no valid YAML"),
        (b"text\n<!-- toxaudit:begin -->\n", "README.md, line 2: the marker toxaudit:begin has no end after it"),
        (b"# T\n```\nopen\n", "README.md, line 2: a code block is opened and never closed: close it first."),
        (b"# T\ncaf\xe9\n", "README.md, line 2 is not UTF-8, which the Hub client does not send."),
    ],
)
def test_a_readme_that_cant_be_edited_safely_is_left(
    hub: Hub, alice: Client, model: Repository, run: Path, readme: bytes, sentence: str
) -> None:
    model.revisions["main"]["README.md"] = readme
    for how in ([], ["--direct"], ["--dry-run"]):
        assert alice.refused(run, "--repo", "org/model", *how).startswith(sentence)
    assert not commits(hub) and model.revisions["main"]["README.md"] == readme


def test_metadata_that_the_hub_does_not_accept_are_named(hub: Hub, alice: Client, model: Repository, run: Path) -> None:
    hub.unaccepted.append('"license" must be one of [apache-2.0]')
    sentence = alice.refused(run, "--repo", "org/model")
    hub.unaccepted.clear()
    assert sentence.startswith('The Hub does not accept README.md\'s metadata: - "license" must be one of [apache-2.0]')
    assert not commits(hub)


def test_a_repository_that_was_renamed_is_named_as_it_is_now(
    hub: Hub, alice: Client, model: Repository, run: Path
) -> None:
    hub.renamed["org/former"] = "org/model"
    assert alice.refused(run, "--repo", "org/former") == (
        "org/former is called org/model now: push with --repo org/model."
    )
    assert not commits(hub)


def test_a_private_repository_is_nobody_elses_business(hub: Hub, alice: Client, model: Repository, run: Path) -> None:
    model.about["private"] = True
    assert "no repository org/model, or it is private" in alice.refused(run, "--repo", "org/model", token=BOB)
    assert alice.pushed(run, "--repo", "org/model")[-1].startswith("Pull request: ")


def test_a_rate_limit_on_who_asks_and_a_download_that_breaks_off_end_in_a_sentence(
    hub: Hub, alice: Client, model: Repository, run: Path
) -> None:
    hub.refused["whoami"] = (429, "")
    assert alice.refused(run, "--repo", "org/model") == WAIT
    hub.refused.clear()
    model.torn = True
    assert alice.refused(run, "--repo", "org/model").startswith("org/model: the Hub could not be reached, or broke off")


def test_offline_nothing_is_asked(hub: Hub, alice: Client, model: Repository, run: Path) -> None:
    sentence = alice.refused(run, "--repo", "org/model", offline=True)
    assert sentence == "HF_HUB_OFFLINE is set, so that nothing can be pushed: unset it."
    assert not hub.asked


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "Write `toxaudit push RUN --repo ORG/NAME`"),
        (["RUN"], "Write `toxaudit push RUN --repo ORG/NAME`"),
        (["RUN", "RUN", "--repo", "o/n"], "Write `toxaudit push RUN --repo ORG/NAME`"),
        (["RUN", "--repo"], "--repo needs a value: write --repo VALUE."),
        (["RUN", "--repo=name"], "--repo is 'name': it must be the id of a model on the Hub, ORG/NAME."),
        (["RUN", "--repo=o/n", "--dryrun"], "push has no option '--dryrun'. Did you mean '--dry-run'?"),
        (["RUN", "--repo=o/n", "-direct"], "push has no option '-direct'. Did you mean '--direct'?"),
        (["RUN", "--repo=o/n", "--direct=no"], "--direct takes no value: leave out '=no'."),
        (["nowhere", "--repo=o/n"], "There is no nowhere/results.json: name the folder of a finished run."),
        (["RUN", "--repo=o/n", "--candidate=noop"], "RUN has no card of a candidate 'noop'. Choose from: benign."),
    ],
)
def test_words_that_cant_be_meant_are_refused_before_the_hub_is_asked(
    hub: Hub, alice: Client, model: Repository, run: Path, words: list[str], sentence: str
) -> None:
    given = [str(run) if word == "RUN" else word for word in words]
    assert alice.refused(*given).startswith(sentence.replace("RUN has", f"{run} has"))
    assert not hub.asked


@pytest.mark.usefixtures("without_plots")
def test_a_run_without_card_or_with_controls_only_is_refused(
    alice: Client, model: Repository, run: Path, tmp_path: Path
) -> None:
    shutil.copytree(run, tmp_path / "bare")
    (tmp_path / "bare" / "card.md").unlink()
    sentence = alice.refused(tmp_path / "bare", "--repo", "org/model")
    assert sentence == f"There is no {tmp_path}/bare/card.md: run `toxaudit card {tmp_path}/bare` first."
    controls = RESULTS["controls-only"]
    only_controls = written(controls, tmp_path / "controls")
    assert "all of its candidates are controls" in alice.refused(only_controls, "--repo", "org/model")
