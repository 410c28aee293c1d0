"""``toxaudit compare``: a verdict on answers that another tool made and maybe scored, without a model."""

import shlex
from collections.abc import Sequence
from math import isfinite
from pathlib import Path
from typing import Any

from toxaudit.cli import reporting
from toxaudit.cli.exit_codes import DONE, HELP, OPTION, chosen
from toxaudit.cli.options import Options
from toxaudit.errors import ToxauditError

COMPARE = Options(
    "compare",
    "BASE CANDIDATE [KEY=VALUE ...]",
    "Decides between a base and its fine-tune by results that another tool wrote, by the same rule and with the same "
    "card and report as an audit's; no model is run. Takes lm-evaluation-harness samples (--log_samples), Inspect "
    "logs, garak reports, promptfoo results (FILE:PROVIDER, one file for both), lighteval details, every_eval_ever "
    "records, and tables (CSV, TSV, JSONL, Parquet) with a prompt or an id. Prompts are paired by their content; what "
    "only one arm has is counted and shown, and what failed is missing, never safe. Overrides are gate=NAME, "
    "gate.KEY=VALUE, card.KEY=VALUE, scorers=[NAME, ...] (toxaudit's own score the answers) and out=FOLDER. Exit code "
    "0 is GO, 1 NO-GO, 2 INCONCLUSIVE.",
    where="BASE and CANDIDATE files or folders of results of the same prompts",
)


def _names(text: str) -> tuple[str, ...]:
    return tuple(each.strip() for each in text.split(",") if each.strip())


def _harmful(text: str) -> str:
    if text not in ("high", "low"):
        raise ToxauditError(f"--harmful is '{text}': it must be high, as of toxicity, or low, as of accuracy.")
    return text


def _threshold(text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = float("nan")
    if not isfinite(found):
        raise ToxauditError(f"--threshold is '{text}': it must be a number.")
    return found


def _columns(text: str) -> dict[str, str]:
    pairs = [each.partition("=") for each in _names(text)]
    if odd := next((key for key, is_, value in pairs if not is_ or not value), None):
        raise ToxauditError(f"--columns has '{odd}': write prompt=NAME,completion=NAME and so on.")
    return {key.strip(): value.strip() for key, _, value in pairs}


COMPARE.value("measure", "NAME", read=_names, help="which metric counts, or several: NAME,NAME")
COMPARE.value("harmful", "high|low", read=_harmful, help="which scores are harmful, where the results don't say")
COMPARE.value("threshold", "X", read=_threshold, help="from which score on (or below which) an answer counts")
COMPARE.value("task", "NAME", read=_names, to="tasks", help="compare these tasks only: NAME,NAME")
COMPARE.value("slice", "KEY", help="give the change by this property of prompts, too, such as category or probe")
COMPARE.value("name", "NAME", help="what the candidate is called (candidate by default)")
COMPARE.value("format", "NAME", help="of the results, where their content doesn't show it")
COMPARE.value("columns", "ROLE=COLUMN", read=_columns, help="of a table: prompt, id, completion, task, target, error")
COMPARE.value(OPTION, "go=0,no-go=...", help=HELP, to="codes")
COMPARE.value(reporting.OPTION, "FILE", help=reporting.HELP, read=Path, to="junit")
COMPARE.flag("--shared-only", help="decide by shared prompts, although many are in one arm's results only")
COMPARE.flag("--unpaired", help="show arms that share no prompt; that decides nothing")


def compare(words: Sequence[str]) -> int:
    """Compare two arms' results; the exit code is the verdict's."""
    others, given = COMPARE.read(words)
    codes, report = chosen(given.pop("codes", None)), given.pop("junit", None)
    overrides = tuple(filter(_is_override, others))
    places = [word for word in others if word not in overrides]
    if len(places) != 2:
        raise COMPARE.miswritten()
    from toxaudit.cli.audit import conclude
    from toxaudit.comparing import Comparison, run
    from toxaudit.decision.verdict import of_audit
    from toxaudit.interop.importers.base import Place
    from toxaudit.scorers.imported import Wanted

    columns = given.pop("columns", {})
    wanted: dict[str, Any] = {key: given.pop(key) for key in ("harmful", "threshold") if key in given}
    wanted["names"] = given.pop("measure", ())
    flags: dict[str, Any] = {key: bool(given.pop(key, False)) for key in ("unpaired", "shared_only")}
    base, candidate = (Place(*_place(word), columns) for word in places)
    command = shlex.join(["toxaudit", "compare", *words]).replace(str(Path.home()), "~")
    flags["lenient"] = codes["INCONCLUSIVE"] == DONE
    asked = Comparison(
        base, candidate, wanted=Wanted(**wanted), overrides=overrides, command=command, **given, **flags
    )  # fmt: skip
    with reporting.reporting(command, report, flags["lenient"]) as results:
        result, files = run(asked)
        conclude(result, files)
        results["compare"] = result
    return codes[of_audit(result)]


def _is_override(word: str) -> bool:
    return (
        "=" in word and not Path(word).exists() and word.split("=")[0].replace(".", "").replace("_", "").isidentifier()
    )


def _place(word: str) -> tuple[Path, str]:
    """A path, and what follows its last colon where no such file exists: a provider's name may hold colons itself."""
    path = Path(word).expanduser()
    if path.exists() or ":" not in word:
        return path, ""
    parts = word.split(":")
    for number in range(1, len(parts)):
        if (found := Path(":".join(parts[:number])).expanduser()).exists():
            return found, ":".join(parts[number:])
    return path, ""
