"""Which arms a candidate rests on: its reference, those that it starts from or is merged of; and never itself."""

from collections.abc import Mapping, Sequence

from toxaudit.errors import ToxauditError, did_you_mean
from toxaudit.facts import BASE_ARM
from toxaudit.spec.schema import AuditSpec, CandidateSpec
from toxaudit.training_facts import GridPlace


def in_order(rests_on: Mapping[str, Sequence[str]]) -> list[str]:
    """The names, each after those that it rests on, and otherwise as they stand.

    Args:
        rests_on: name -> those of other arms, which may be none of the names; no circle.
    """
    found: dict[str, None] = {}

    def put(name: str) -> None:
        if name in rests_on and name not in found:
            for other in rests_on[name]:
                put(other)
            found[name] = None

    for name in rests_on:
        put(name)
    return list(found)


def rests_on(candidate: CandidateSpec) -> dict[str, str]:
    """The arms that must be there before this candidate can be, each with what it does to them, in words."""
    found = {candidate.starts_from: "starts from"} if candidate.starts_from else {}
    if candidate.merge:
        found |= dict.fromkeys((candidate.merge.into, *candidate.merge.of), "is merged of")
    return found | {candidate.against: "is compared with"}


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
    for name in candidates:
        if circle := _circle(candidates, [name]):
            raise ToxauditError(f"candidates.{name} rests on itself ({' -> '.join(circle)}): one of them must not.")


def _circle(candidates: Mapping[str, CandidateSpec], chain: list[str]) -> list[str]:
    """The first way from an arm back to itself; nothing where there is none."""
    for other in rests_on(candidates[chain[-1]]):
        if other in chain:
            return [*chain[chain.index(other) :], other]
        if other in candidates and (found := _circle(candidates, [*chain, other])):
            return found
    return []


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
        digits, _, exponent = f"{value:.15e}".partition("e")
        digits = digits.rstrip("0").rstrip(".")
        return min(repr(value).removesuffix(".0"), f"{digits}e{int(exponent)}", key=len)
    return str(value)
