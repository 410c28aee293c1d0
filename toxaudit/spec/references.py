"""Which arm each candidate is compared with: a candidate comes after its reference, and no circle has a beginning."""

from collections.abc import Mapping

from toxaudit.errors import ToxauditError, did_you_mean
from toxaudit.facts import BASE_ARM, GridPlace
from toxaudit.spec.schema import AuditSpec, CandidateSpec


def in_order(against: Mapping[str, str]) -> list[str]:
    """The names, each after its reference, and otherwise as they stand.

    Args:
        against: name -> that of its reference, which may be none of the names.
    """
    found: dict[str, None] = {}
    for name in against:
        chain = []
        while name in against and name not in found and name not in chain:
            chain.append(name)
            name = against[name]
        found |= dict.fromkeys(reversed(chain))
    return list(found)


def of_spec(spec: AuditSpec) -> dict[str, str]:
    """Candidate -> its reference."""
    return {name: candidate.against for name, candidate in spec.candidates.items()}


def check(candidates: Mapping[str, CandidateSpec]) -> None:
    """Refuse a reference that is none: no arm, a control, the candidate itself, or one that is compared with it.

    Raises:
        ToxauditError: if there is such; the sentence names the first.
    """
    for name, candidate in candidates.items():
        against, where = candidate.against, f"candidates.{name}.against"
        if against == BASE_ARM:
            continue
        if against == name:
            raise ToxauditError(f"{where} is '{against}', the candidate itself: name base or another candidate.")
        if against not in candidates:
            members = [member for member, each in candidates.items() if each.grid and each.grid.of == against]
            mend = f" It stands for a grid: name one of its candidates, such as {members[0]}." if members else ""
            near = mend or did_you_mean(against, [BASE_ARM, *(each for each in candidates if each != name)])
            raise ToxauditError(f"{where} is '{against}', and there is no such arm: name base or a candidate.{near}")
        if candidates[against].control:
            again = candidates[against].against
            raise ToxauditError(f"{where} is '{against}', which is only {again} again: name {again} itself.")
        chain = [name]
        while (last := candidates[chain[-1]].against) in candidates and last not in chain:
            chain.append(last)
        if last in chain:
            circle = " -> ".join([*chain[chain.index(last) :], last])
            raise ToxauditError(f"{where} leads in a circle ({circle}): one of them must be compared with base.")


def place(spec: AuditSpec, name: str) -> GridPlace | None:
    """Where a candidate stands in a grid, as results say it; None where it is of none."""
    grid = spec.candidates[name].grid
    if grid is None:
        return None
    of = sum(each.grid is not None and each.grid.of == grid.of for each in spec.candidates.values())
    return GridPlace(grid.of, {key: written(value) for key, value in grid.values.items()}, of)


def written(value: object) -> str:
    """A value of a grid as YAML writes it, a number without needless digits."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, float):
        digits, e, exponent = repr(value).partition("e")
        return f"{digits.removesuffix('.0')}{e}{int(exponent)}" if e else digits.removesuffix(".0")
    return str(value)
