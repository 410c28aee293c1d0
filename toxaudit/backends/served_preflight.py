"""The checks of arms that a server answers for, before any prompt is asked: each is there and isn't the base again."""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace

from toxaudit.backends.openai import NotServed, OpenAI, Session
from toxaudit.backends.request import Request
from toxaudit.errors import ToxauditError
from toxaudit.models import Loader
from toxaudit.models.served import ServedModel
from toxaudit.models.tokenizer import PROBES
from toxaudit.records import Prompt, digest
from toxaudit.spec.schema import Generation
from toxaudit.store.shelves import Shelf

PROBE = Generation(max_new_tokens=16)

Look = tuple[tuple[float, ...], ...]
"""To each probe, how likely the tokens of the answer were, as far as the server tells."""


def probes(suites: Iterable[tuple[str, str, bool]], chats: Collection[str]) -> list[Request]:
    """A request for each way in which suites ask.

    Args:
        suites: of each its name, how it asks, and whether it offers choices.
        chats: the system prompts, empty for none, of the suites that ask in the chat template.
    """
    found: dict[tuple[str, bool, str], Request] = {}
    for name, ask, chooses in suites:
        prompt = Prompt("", name, PROBES[1], choices=("here", "there") if chooses else ())
        for system in chats if ask == "chat" else ("",):
            found.setdefault((ask, chooses, system), Request("base", prompt, ask, system or None))
    return [found[key] for key in sorted(found)]


def preflight(
    backend: OpenAI,
    loader: Loader,
    shelf: Shelf,
    asked: Sequence[Request],
    arms: Sequence[ServedModel],
    refused: Callable[[str, ToxauditError], None],
    done: Callable[[], object],
) -> dict[str, tuple[str, ...]]:
    """What a reader must know of each arm that may be audited: nothing that could be seen from here, by its name.

    Args:
        backend: that will ask for answers.
        loader: for ``backend.open``.
        shelf: finished checks of arms beside this base.
        asked: as by ``probes``.
        arms: the base first.
        refused: is told of each candidate that may not be audited, and why. It may raise.
        done: called after each arm that is looked at.

    Raises:
        ToxauditError: the base may not be audited, or the server can't be asked: of its troubles, no arm is to blame.
    """
    base = arms[0]
    keys = {arm.name: _key(arm, asked) for arm in arms}
    wanted = [arm for arm in arms if arm.kind != "control" and keys[arm.name] not in shelf]
    if wanted:
        with backend.open(loader, arms) as session:
            listed = backend.models()
            first = _look(session, asked, base, listed)
            shelf.add({keys["base"]: []})
            done()
            for arm in wanted[1 if wanted[0] is base else 0 :]:
                try:
                    look = _look(session, asked, arm, listed)
                    if arm.identity != base.identity:  # else it is the base under another system prompt
                        _require_change(arm, base, look, first)
                    shelf.add({keys[arm.name]: []})
                except NotServed as error:
                    refused(arm.name, error)
                done()
    return {arm.name: () for arm in arms if arm.kind == "control" or keys[arm.name] in shelf}


def _key(arm: ServedModel, asked: Sequence[Request]) -> str:
    ways = (f"{each.ask}, {len(each.prompt.choices)} choices, {each.system}" for each in _own(asked, arm))
    return digest(arm.identity, *ways)


def _own(asked: Sequence[Request], arm: ServedModel) -> list[Request]:
    """The probes for one arm, under its own system prompt where it has one."""
    system = arm.system_instruction
    found = [replace(request, arm=arm.name) for request in asked]
    if system is None:
        return found
    return [replace(each, system=(system or None) if each.ask == "chat" else None) for each in found]


def _look(session: Session, asked: Sequence[Request], arm: ServedModel, listed: Sequence[str]) -> Look:
    if listed and arm.model not in listed:
        raise NotServed(
            f"{arm.name}: the server at {arm.server} has no model '{arm.model}'.{session.nearest(arm.model, listed)}"
        )
    return tuple(session.look(request, PROBE) for request in _own(asked, arm))


def _require_change(arm: ServedModel, base: ServedModel, look: Look, first: Look) -> None:
    """Refuse an arm whose answers are exactly as likely as the base's: no other weights give that."""
    told = [(own, its) for own, its in zip(look, first, strict=True) if any(own) and any(its)]
    if told and all(own == its for own, its in told):
        raise NotServed(
            f"{arm.name}: the server at {arm.server} answers as '{arm.model}' exactly as it does as '{base.model}': "
            "either it serves one model under both names, or the adapter changes nothing."
        )
