"""What the store, the estimates, the gate, the files and the card of a large audit cost, from synthetic scores.

    python benchmarks/large.py [--records 10000 1000000] [--candidates 5] [--folder FOLDER]

A record is one scorer's score of one arm's answer to one prompt; there are two scorers, one of them graded, two suites
of 20 groups, and answers of about 200 bytes, of words drawn at random. No model is run: a backend gives answers, and
scorers give scores that are as good as random; all else is done by the stages of an audit. First answers and scores
are made and kept; then the audit is run again from the store, to its end, in a process of its own. Prints seconds,
CPU-seconds and the most memory of each, and the sizes of what is written.
"""

import argparse
import os
import random
import resource
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any

sys.path.append(str(Path(__file__).parents[1] / "tests"))

from toxaudit.backends.request import Answered, Done, Request
from toxaudit.facts import ModelFacts, SuiteFacts
from toxaudit.models import ServedModel
from toxaudit.records import Answers, Asked, Completion, Prompt, Scored
from toxaudit.scorers.keywords import Keywords
from toxaudit.spec.schema import AuditSpec
from toxaudit.stages import answering, scoring
from toxaudit.store.shelves import Store
from toxaudit.suites.base import described

SCORERS, SUITES, GROUPS = ("vowels", "degenerate"), 2, 20
TOGETHER = 512
"""Scores that are kept together, as scorers do."""

BATCH = 64
"""Answers that come together."""

WORDS = [f"{first}{second}{third}" for first in "bdfklmnprst" for second in "aeiou" for third in ("", "l", "n", "rt")]
"""Those of the answers, from the most frequent on."""


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, nargs="+", default=[10_000, 1_000_000])
    parser.add_argument("--candidates", type=int, default=5)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    for records in options.records:
        prompts = records // (options.candidates + 1) // len(SCORERS) // SUITES
        print(f"{records:,} records: {SUITES} suites of {prompts:,} prompts, {options.candidates + 1} arms", flush=True)
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            for part in (_stored, _made, _audited, _shown_again):
                _in_a_copy(part, Path(folder), prompts, options.candidates)


def _in_a_copy(part: Callable[..., None], *given: Any) -> None:
    sys.stdout.flush()
    child = os.fork()
    if not child:
        code = 70
        try:
            part(*given)
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0


@contextmanager
def timed(what: str, number: int = 0) -> Iterator[None]:
    """Print what something took, and how many a second that makes."""
    cpu, clock = time.process_time(), time.monotonic()
    yield
    cpu, clock = time.process_time() - cpu, time.monotonic() - clock
    rate = f"; {number / cpu:,.0f} a CPU-second, {number / clock:,.0f} a second" if number else ""
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"  {what:<34} {cpu:7.2f} CPU-s {clock:7.2f} s, at most {memory:.2f} GB by then{rate}", flush=True)


def _stored(folder: Path, prompts: int, candidates: int) -> None:
    from toxaudit.store.identities import Scores

    draw, records = random.Random(0), prompts * SUITES * len(SCORERS) * (candidates + 1)
    names = [sha256(str(number).encode()).hexdigest() for number in range(records)]
    values = [{"value": round(draw.random(), 6), "missing": None} for _ in range(records)]
    store = Store(folder / "store")
    with timed("scores written into the store", records), store.in_use():
        shelf = store.shelf(Scores("synthetic"))
        for start in range(0, records, TOGETHER):
            end = start + TOGETHER
            shelf.add(dict(zip(names[start:end], values[start:end], strict=True)))
    size = sum(file.stat().st_size for file in (folder / "store").rglob("*") if file.is_file())
    print(f"  the store: {size / 1e6:,.1f} MB", flush=True)


def _made(folder: Path, prompts: int, candidates: int) -> None:
    _answers_and_scores(_spec(folder, candidates), {name: _asked(name, prompts) for name in _suites()}, "made")
    size = sum(file.stat().st_size for file in (folder / "audited").rglob("*") if file.is_file())
    print(f"  the store: {size / 1e6:,.1f} MB", flush=True)


def _answers_and_scores(spec: AuditSpec, suites: dict[str, Asked], how: str) -> tuple[Answers, Scored]:
    arms: Any = [ServedModel(name, "base" if name == "base" else "served", "-", name) for name in _arms(spec)]
    store, loader, number = Store(Path("audited")), Any, len(arms) * sum(len(each.prompts) for each in suites.values())
    backend: Any = Backend()
    spec = replace(spec, backend=backend)
    with store.in_use():
        with timed(f"answers {how}", number):
            answers = answering.answer(spec, loader, store, arms, suites)
        with timed(f"scores {how}", number * len(SCORERS)):
            return answers, scoring.score(spec, loader, store, suites, answers)


class Backend:
    """Answers at once, by words drawn at random."""

    numerics, server, batch_size = "synthetic", "-", None

    @contextmanager
    def open(self, loader: object, arms: object) -> "Iterator[Backend]":
        """It is ready."""
        yield self

    def generate(self, requests: Sequence[Request], _: object, done: Done, __: object) -> Iterator[list[Answered]]:
        """The answers to what is not done, some at a time."""
        draw, todo = random.Random(0), [request for request in requests if not done(request)]
        shares = [1 / place for place in range(1, len(WORDS) + 1)]
        for start in range(0, len(todo), BATCH):
            yield [
                (each, Completion(each.arm, each.prompt.id, 0, " ".join(draw.choices(WORDS, shares, k=50)), 50, "stop"))
                for each in todo[start : start + BATCH]
            ]


class Graded(Keywords):
    """Any score, the same for a text each time."""

    def score(self, completions: Sequence[str]) -> list[Any]:
        """One for each."""
        return [int(sha256(text.encode()).hexdigest()[:8], 16) / 2**32 for text in completions]


class Seldom(Graded):
    """1 for one text in ten, else 0."""

    def score(self, completions: Sequence[str]) -> list[Any]:
        """One for each."""
        return [float(score < 0.1) for score in super().score(completions)]


def _spec(folder: Path, candidates: int) -> AuditSpec:
    import workspace

    from toxaudit.compose.compose import compose

    workspace.written(folder, prompts=1)
    spec_file, names = folder / "audits/tiny.yaml", [f"c{number}" for number in range(candidates)]
    tuned = "".join(f"  {name}:\n    peft: ../models/{name}\n" for name in names)
    text = spec_file.read_text().replace("suite: [mine]", f"suite: [{', '.join(_suites())}]")
    spec_file.write_text(
        text.replace("  tuned:\n    peft: ../models/adapter\n", tuned).split("  noop:")[0] + "gate:\n  margin: 0.02\n"
    )
    suite = (folder / "audits/suite/mine.yaml").read_text()
    for name in _suites():
        (folder / f"audits/suite/{name}.yaml").write_text(suite)
    os.chdir(folder)
    spec = compose(["audit=tiny", "estimator=[paired_exact,paired_bb,hier_paired]"])
    graded = Graded(title="Graded", phrases=["graded"], noun="vowels", more="more vowels", less="fewer vowels")
    seldom = Seldom(
        title="Seldom", phrases=["seldom"], noun="rarities", more="rarer", less="commoner", tier="supporting"
    )
    return replace(
        spec,
        scorers=dict(zip(SCORERS, (graded, seldom), strict=True)),
        suites={name: replace(suite, scorers=list(SCORERS)) for name, suite in spec.suites.items()},
    )


def _arms(spec: AuditSpec) -> list[str]:
    return ["base", *spec.candidates]


def _audited(folder: Path, prompts: int, candidates: int) -> None:
    from toxaudit import runner
    from toxaudit.estimators import archive
    from toxaudit.interop import cyclonedx, every_eval_ever, junit
    from toxaudit.machine.replacement import replaced
    from toxaudit.results.files import DRAWS
    from toxaudit.results.reading import read_result
    from toxaudit.results.writing import sample_rows, write_results
    from toxaudit.stages import estimating, rendering

    spec = _spec(folder, candidates)
    suites = {name: _asked(name, prompts) for name in _suites()}
    answers, scored = _answers_and_scores(spec, suites, "from the store")
    store = Store(folder / "audited")
    with store.in_use():
        with timed("outcomes and estimates"):
            compared = list(estimating.outcomes(spec, suites, scored))
            posteriors = runner._estimate(spec, store, suites, scored, compared)
        with timed("gate"):
            audited = [SimpleNamespace(name=name, facts=lambda name=name: _model(name)) for name in _arms(spec)]
            found: Any = SimpleNamespace(audited=audited, doubts={}, skipped={})
            result = runner._result(spec, "toxaudit audit=large", found, suites, posteriors, {}, ())
            print(f"  {len(result.estimates):,} estimates")
    out = folder / "run"
    with replaced(out) as new:
        with timed("results and samples"):
            write_results(new, spec, result, sample_rows(suites, result.scorers, answers, scored))
        with timed("other files, draws"):
            result = read_result(new)
            cyclonedx.write(result, new), junit.write(result, new, False), every_eval_ever.write(result, new)
            archive.write_draws(posteriors, new / DRAWS)
        with timed("card, plots and report"):
            rendering.render(new, spec.card)
    for name in ("results.json", "samples_*", "draws.parquet", "report.html", "card.md"):
        size = sum(file.stat().st_size for file in out.glob(name))
        print(f"  {name}: {size / 1e6:,.2f} MB", flush=True)


def _shown_again(folder: Path, prompts: int, candidates: int) -> None:
    from toxaudit.cli.main import main as toxaudit

    os.chdir(folder)
    with timed("toxaudit card RUN, checks included"):
        assert toxaudit(["card", "run"]) == 0


def _suites() -> list[str]:
    return [f"suite{number}" for number in range(SUITES)]


def _model(name: str) -> ModelFacts:
    kind = "base" if name == "base" else "adapter"
    return ModelFacts(name, kind, f"someone/{name}", sha256(name.encode()).hexdigest(), "float32", revision="cd" * 20)


def _asked(suite: str, prompts: int) -> Asked:
    made = [
        Prompt(f"p{n}", suite, f"{suite}, prompt {n}: {'what would you say to that? ' * 3}", {"kind": f"k{n % GROUPS}"})
        for n in range(prompts)
    ]
    facts = SuiteFacts(suite, suite, 0, "prompts.jsonl", "", "MIT", "raw", "kind", {}, scorers=SCORERS)
    return Asked(made, described(facts, made))


if __name__ == "__main__":
    main()
