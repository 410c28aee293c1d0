"""``toxaudit diff``: two finished runs side by side."""

from collections.abc import Sequence
from pathlib import Path

from toxaudit.cli.exit_codes import DONE
from toxaudit.cli.options import Options

DIFF = Options(
    "diff",
    "RUN RUN",
    "Prints what differs between two finished runs: in their specs, in what was loaded and asked, and in what was "
    "found (verdicts, and each measure's change with its 95 % interval). RUN is a folder of results, such as "
    "runs/quickstart.",
    where="RUN such as runs/quickstart",
    words=2,
)


def diff(words: Sequence[str]) -> int:
    """Print a table for each kind of difference."""
    runs, _ = DIFF.read(words)
    from toxaudit.card import compared
    from toxaudit.cli.summary import aligned
    from toxaudit.results.files import SPEC
    from toxaudit.results.reading import read_result
    from toxaudit.spec import strict_yaml

    first, second = map(Path, runs)
    results = [read_result(run) for run in (first, second)]
    specs = [strict_yaml.read(run / SPEC) for run in (first, second)]
    tables = {
        "Spec": compared.specs(*specs),
        "What was loaded and asked": compared.pins(*results),
        "What was found": compared.found(*results),
    }
    for title, rows in tables.items():
        print(f"{title}:" if rows else f"{title}: no difference")
        if rows:
            print("\n".join(aligned([("", str(first), str(second)), *rows])))
    return DONE
