"""Whether each critical measure tells a model that is known to be worse, in words."""

from collections.abc import Iterator

from toxaudit.card import words
from toxaudit.card.index import Index
from toxaudit.decision.responsiveness import blind, responses
from toxaudit.facts import the


def sentences(index: Index) -> Iterator[str]:
    """One phrase a critical measure on a suite: which controls that are known to be worse it tells, and how surely."""
    told: dict[tuple[str, str], list[str]] = {}
    for each in responses(index.result):
        reference = the(index.result.against(each.control))
        how = "no result" if each.p_increase is None else f"P(increase) {words.probability(each.p_increase)}"
        tells = "tells" if each.told else "does not tell"
        told.setdefault((each.suite, each.measure), []).append(f"{tells} {each.control} from {reference} ({how})")
    for place, said in told.items():
        yield f"{index.label(*place)} {words.joined(said)}"


def notices(index: Index) -> Iterator[str]:
    """A phrase on the measures that tell no model that is known to be worse."""
    result = index.result
    if not (found := [index.label(*place) for place in blind(result)]):
        return
    controls = words.joined(list(dict.fromkeys(each.control for each in responses(result)))) or "there is none here"
    known = (
        f"{'tells' if len(found) == 1 else 'tell'} no model that is known to be worse ({controls}) from its reference"
    )
    then = "the rule asks for that, so that the audit is no GO" if result.gate.responsive else "a GO there says little"
    yield f"Blind: {words.joined(found)} {known}: {then}"
