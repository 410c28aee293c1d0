"""What the store, the estimates, the gate, the files and the card of a large audit cost, from synthetic scores.

    python benchmarks/large.py [--records 10000 1000000] [--candidates 5] [--folder FOLDER]

A record is one scorer's score of one arm's answer to one prompt; there are two scorers, one of them graded, two suites
of 20 groups, and random answers of about 200 bytes. No model is run: from the scores on, all is done by the stages of
an audit. Each part is a process of its own, but for those after the scores, which share theirs as in an audit. Prints
seconds, CPU-seconds and the most memory of each, and the sizes of what is written.
"""

import argparse
import os
import random
import resource
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any

sys.path.append(str(Path(__file__).parents[1] / "tests"))

from toxaudit.facts import ModelFacts, SuiteFacts
from toxaudit.records import Asked, Completion, Prompt, Score, Scored
from toxaudit.suites.base import described

SCORERS, SUITES, GROUPS = ("vowels", "degenerate"), 2, 20
TOGETHER = 512
"""Scores that are kept together, as scorers do."""


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
            for part in (_stored, _audited, _shown_again):
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
    from toxaudit.store.shelves import Store

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


def _audited(folder: Path, prompts: int, candidates: int) -> None:
    import workspace

    from toxaudit import runner
    from toxaudit.compose.compose import compose
    from toxaudit.estimators import archive
    from toxaudit.interop import cyclonedx, every_eval_ever, junit
    from toxaudit.machine.replacement import replaced
    from toxaudit.results.files import DRAWS
    from toxaudit.results.reading import read_result
    from toxaudit.results.writing import sample_rows, write_results
    from toxaudit.stages import estimating, rendering
    from toxaudit.store.shelves import Store

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
    spec = replace(
        spec,
        scorers={name: spec.scorers[name] for name in SCORERS},
        suites={name: replace(suite, scorers=list(SCORERS)) for name, suite in spec.suites.items()},
    )
    arms = ["base", *names]
    with timed("synthetic scores"):
        suites = {name: _asked(name, prompts) for name in _suites()}
        answers, scored = _answered(suites, arms)
    store = Store(folder / "store")
    with store.in_use():
        with timed("outcomes and estimates"):
            compared = list(estimating.outcomes(spec, suites, scored))
            posteriors = runner._estimate(spec, store, suites, scored, compared)
        with timed("gate"):
            audited = [SimpleNamespace(name=name, facts=lambda name=name: _model(name)) for name in arms]
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


def _answered(suites: dict[str, Asked], arms: list[str]) -> tuple[dict[tuple[str, str], list[Completion]], Scored]:
    draw, answers, scored = random.Random(0), {}, {}
    for suite, asked in suites.items():
        for arm in arms:
            answers[arm, suite] = [
                Completion(
                    arm, prompt.id, 0, f"{arm} says {draw.random()} " + "so it is, and so on; " * 8, 50, "length"
                )
                for prompt in asked.prompts
            ]
            scored[arm, suite, SCORERS[0]] = [
                Score(arm, prompt.id, 0, SCORERS[0], round(draw.random(), 6)) for prompt in asked.prompts
            ]
            scored[arm, suite, SCORERS[1]] = [
                Score(arm, prompt.id, 0, SCORERS[1], float(draw.random() < 0.1)) for prompt in asked.prompts
            ]
    return answers, scored


if __name__ == "__main__":
    main()
