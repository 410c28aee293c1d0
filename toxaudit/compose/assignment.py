"""Which scorers score which suite."""

from collections.abc import Collection, Iterable

from toxaudit.errors import ToxauditError
from toxaudit.extensions import Suite
from toxaudit.records import OF_EVERY_ANSWER
from toxaudit.spec.schema import AuditSpec


def wanted(suites: Iterable[Suite]) -> list[str]:
    """The names of the scorers that suites bring along, each once."""
    suites = list(suites)
    always = [name for name in OF_EVERY_ANSWER if any(_scored_by(suite, name) for suite in suites)]
    return list(dict.fromkeys([*(name for suite in suites for name in suite.scorers), *always]))


def assign(spec: AuditSpec, everywhere: Collection[str]) -> None:
    """Make each suite's ``scorers`` the whole list of those that score it.

    Those are the audit's own, which score every suite whose answers they can read, those that the suite brings along,
    and ``OF_EVERY_ANSWER``.

    Args:
        spec: composed; its suites' ``scorers`` are those that they bring along.
        everywhere: the names of those that the audit selects for all suites.

    Raises:
        ToxauditError: a scorer can't read what it is to score, would score nothing, or a suite has none.
    """
    for name, scorer in spec.scorers.items():
        scorer.title = scorer.title or name
    for name, suite in spec.suites.items():
        what = "offers choices" if suite.choices else "has written answers"
        if odd := next((each for each in suite.scorers if not _reads(spec, each, suite)), None):
            scorer = spec.scorers[odd]
            bare = scorer.takes_choices == bool(suite.choices) and scorer.needs == "target"
            told = ", or set 'target'" if bare else ""
            raise ToxauditError(f"suite '{name}' {what}, which the scorer '{odd}' can't score: leave it out{told}.")
        mine = [each for each in everywhere if _reads(spec, each, suite)]
        if not mine and not suite.scorers:
            raise ToxauditError(
                f"suite '{name}' {what}, and no scorer of such is selected: add one to 'scorer: [...]' (see "
                "`toxaudit ls scorers`)."
            )
        always = [each for each in OF_EVERY_ANSWER if _scored_by(suite, each)]
        suite.scorers = list(dict.fromkeys([*mine, *suite.scorers, *always]))
    used = {name for suite in spec.suites.values() for name in suite.scorers}
    if spec.suites and (idle := next((name for name in everywhere if name not in used), None)):
        raise ToxauditError(f"No suite of this audit has what the scorer '{idle}' scores: leave it out.")
    for name in set(spec.scorers) - used:
        del spec.scorers[name]


def _reads(spec: AuditSpec, name: str, suite: Suite) -> bool:
    """Whether a scorer can score what a suite's answers are, and the suite tells what it needs to know."""
    scorer = spec.scorers[name]
    told = {"": True, "target": suite.target, "roles": suite.has_roles, "language": suite.language}
    return scorer.takes_choices == bool(suite.choices) and bool(told[scorer.needs])


def _scored_by(suite: Suite, name: str) -> bool:
    """Whether one of ``OF_EVERY_ANSWER`` scores a suite."""
    return not suite.choices and (name != "wrong_language" or bool(suite.language))
