"""``toxaudit counterfactuals``: sentences that a generator model writes, as rows that recipes and suites read."""

from collections.abc import Sequence
from pathlib import Path

from toxaudit.cli.exit_codes import DONE
from toxaudit.cli.options import Options
from toxaudit.errors import visible

COUNTERFACTUALS = Options(
    "counterfactuals",
    "audit=NAME [KEY=VALUE ...]",
    "Asks a generator, which is the base of an audit without candidates, the audit's suites, generation.samples times "
    "each. An answer is kept that is one whole line, begins with the suite's target where there is one, is counted by "
    "none of the suite's scorers, and was not written before. What is kept goes to counterfactuals.jsonl below out "
    "(counterfactuals/NAME by default), what is not to left_out.jsonl with the reason; each row says by which model, "
    "prompt and seed it was made, and when.",
)


def counterfactuals(words: Sequence[str]) -> int:
    """Have a generator write sentences."""
    overrides, _ = COUNTERFACTUALS.read(words)
    from toxaudit.compose.compose import compose

    spec = compose(overrides, compared=False)
    from toxaudit.counterfactuals import written

    own = Path(spec.out) != Path("runs") / spec.name
    found = written(spec, Path(spec.out).expanduser() if own else Path("counterfactuals") / spec.name)
    print(f"{found.kept:,} kept: {visible(str(found.file))}")
    for reason, count in found.left_out.items():
        print(f"{count:,} left out: {visible(reason)}")
    return DONE
