"""What every suite has, and the checks that every prompt passes."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, fields, replace
from itertools import chain, zip_longest
from typing import ClassVar

from omegaconf import MISSING

from toxaudit.errors import ToxauditError
from toxaudit.facts import SuiteFacts
from toxaudit.records import Prompt, digest
from toxaudit.sources import Fetched, FileField
from toxaudit.suites import equal

LONGEST = 100_000  # characters; a longer prompt is a broken file rather than a question


@dataclass(frozen=True)
class Drawn:
    """The prompts that a suite asks, out of the ``available`` different ones in the fetched data.

    ``merged`` is how many more the data hold that are equal to one of these.
    """

    prompts: list[Prompt]
    fetched: Fetched
    available: int
    merged: int = 0


@dataclass(kw_only=True)
class BaseSuite:
    """The fields that every kind of suite shares.

    Attributes:
        title: for the card.
        data: a Hub id, a local path, a package file or a file on the web.
        revision: of ``data`` on the Hub.
        licence: of the data.
        n: how many prompts it holds, as far as is known before it is fetched.
        language: of the prompts, and so of the answers, as an ISO 639-1 code such as ``en``.
        ask: ``raw`` (the model continues the text) or ``chat`` (the text is the user's turn in the chat template).
        system_instruction: the system prompt before the user's turn, where ``ask`` is ``chat``.
        scorers: those that score this suite, beside those that the audit selects for all.
        strata: the slice by which the suite was sampled; rates are estimated within and weighted over it.
        weights: value of ``strata`` -> its share of what the suite stands for, in any unit; none takes the share of the
            prompts.
        limit: ask only that many prompts, taken evenly over the strata in the order of the file.
        seed: take them at random instead.
    """

    title: str = MISSING
    data: str = MISSING
    revision: str | None = None
    licence: str = "not stated"
    n: int | None = None
    language: str | None = None
    ask: str = "raw"
    system_instruction: str | None = None
    scorers: list[str] = field(default_factory=list)
    strata: str | None = None
    weights: dict[str, float] = field(default_factory=dict)
    limit: int | None = None
    seed: int | None = None

    has_roles: ClassVar[bool] = False
    """Whether the suite tells what each choice stands for, such as a stereotype."""

    @property
    def patterns(self) -> tuple[str, ...]:
        """Which files of ``data`` are fetched; none named means all."""
        return ()

    def file_fields(self) -> Iterator[FileField]:
        """The fields that name files."""
        yield FileField("data", "revision", self.patterns, "dataset")

    def check(self) -> None:
        """Refuse values that no suite can have.

        Raises:
            ToxauditError: if a key has a value that can't be used; the sentence names the key.
        """
        if self.ask not in ("raw", "chat"):
            raise ToxauditError(f"suite '{self.title}': ask is '{self.ask}'; it must be raw or chat.")
        if self.system_instruction and self.ask != "chat":
            raise ToxauditError(f"suite '{self.title}' has a system_instruction, which only ask: chat can give.")
        for key in (each.name for each in fields(self)):
            held = getattr(self, key)
            if isinstance(held, list) and (no_texts := [each for each in held if not isinstance(each, str)]):
                raise ToxauditError(
                    f"suite '{self.title}': {key} holds {no_texts[0]}, which is no text: write {key}: [A, B]."
                )
        if self.language is not None and not re.fullmatch("[a-z]{2}", self.language):
            raise ToxauditError(
                f"suite '{self.title}': language is '{self.language}': write an ISO 639-1 code such as en (and quote "
                '"no").'
            )
        if self.limit is not None and self.limit < 1:
            raise ToxauditError(f"suite '{self.title}': limit is {self.limit}; it must be at least 1.")
        if self.seed is not None and self.limit is None:
            raise ToxauditError(
                f"suite '{self.title}' has a seed but no limit: all prompts are asked, so set a limit, or seed to null."
            )
        if self.weights and not self.strata:
            raise ToxauditError(f"suite '{self.title}' has weights but no strata: name the slice that they weigh.")
        for value, weight in self.weights.items():
            if not isinstance(weight, int | float) or not 0 < weight < float("inf"):
                raise ToxauditError(
                    f"suite '{self.title}': the weight of '{value}' is {weight}; it must be a number above 0."
                )
        for key in ("title", "data"):
            if getattr(self, key) == MISSING:
                raise ToxauditError(f"a suite has no {key}: set it in its YAML file.")

    def select(self, prompts: Iterable[Prompt], fetched: Fetched, where: str) -> Drawn:
        """Check all prompts of the data that were fetched, and keep ``limit`` of the different ones.

        Raises:
            ToxauditError: if there are none, if one lacks the strata slice, or if the weights don't fit the strata.
        """
        rows = list(prompts)
        if not rows:
            raise ToxauditError(f"{where} holds no prompts.")
        found = equal.clustered(equal.merged(rows))
        if self.strata and (bare := next((p for p in found if self.strata not in p.slices), None)):
            raise ToxauditError(f"{where}: prompt '{bare.id}' has no slice '{self.strata}', which 'strata' names.")
        kept = found if self.limit is None else self._some(found, self.limit)
        if self.strata and self.weights:
            there, asked = ({prompt.slices[self.strata] for prompt in group} for group in (found, kept))
            self._check_weights(there, asked, where)
        return Drawn(kept, fetched, len(found), len(rows) - len(found))

    def _some(self, prompts: list[Prompt], limit: int) -> list[Prompt]:
        """``limit`` prompts, one from each stratum in turn: the first of each, or random ones in the suite's order."""
        order = prompts
        if self.seed is not None:
            order = sorted(prompts, key=lambda prompt: digest(str(self.seed), prompt.id, prompt.text))
        groups: dict[str, list[Prompt]] = defaultdict(list)
        for prompt in order:
            groups[prompt.slices[self.strata] if self.strata else ""].append(prompt)
        rounds = chain.from_iterable(zip_longest(*groups.values()))
        chosen = [prompt for prompt in rounds if prompt is not None][:limit]
        if self.seed is None:
            return chosen
        ids = {prompt.id for prompt in chosen}
        return [prompt for prompt in prompts if prompt.id in ids]

    def _check_weights(self, there: set[str], asked: set[str], where: str) -> None:
        """Check that every stratum has a weight and every weight a stratum, and that the limit leaves some of each."""
        if unweighed := sorted(there - set(self.weights)):
            raise ToxauditError(f"{where}: {self.strata} '{unweighed[0]}' has no weight.")
        if absent := sorted(set(self.weights) - there):
            raise ToxauditError(f"{where}: no prompt has {self.strata} '{absent[0]}', which has a weight.")
        if unasked := sorted(there - asked):
            raise ToxauditError(
                f"{where}: limit {self.limit} leaves no prompt of {self.strata} '{unasked[0]}', which has a weight: "
                f"it must be at least {len(there)}."
            )

    def facts(self, name: str, drawn: Drawn) -> SuiteFacts:
        """What a card may say of it."""
        prompts, fetched = drawn.prompts, drawn.fetched
        facts = SuiteFacts(
            name=name,
            title=self.title,
            n=0,
            source=fetched.reference + (f"@{fetched.revision}" if fetched.revision else ""),
            digest="",
            licence=self.licence,
            ask=self.ask,
            strata=self.strata,
            slices={},
            available=drawn.available,
            weights=dict(self.weights) or None,
            shares=_shares(prompts, self.strata) if self.strata else None,
            revision=fetched.revision,
            system_instruction=self.system_instruction,
            choices=bool(prompts[0].choices),
            scorers=tuple(self.scorers),
            merged=drawn.merged,
        )
        return described(facts, prompts)


def described(facts: SuiteFacts, prompts: list[Prompt]) -> SuiteFacts:
    """A suite's facts, completed by those that follow from the prompts that are asked."""
    slices: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for prompt in prompts:
        for slice_name, value in prompt.slices.items():
            slices[slice_name][value] += 1
    clusters = {prompt.cluster for prompt in prompts} - {""}
    alone = sum(not prompt.cluster for prompt in prompts)
    return replace(
        facts,
        n=len(prompts),
        digest=digest(*(text for prompt in prompts for text in (prompt.text, *prompt.choices))),
        slices={slice_name: dict(values) for slice_name, values in slices.items()},
        clusters=len(clusters) + alone if clusters else None,
    )


def _shares(prompts: list[Prompt], strata: str) -> dict[str, float]:
    """Stratum -> its share of the prompts."""
    return {value: n / len(prompts) for value, n in Counter(prompt.slices[strata] for prompt in prompts).items()}


def text_of(value: object, what: str) -> str:
    """A text that a model is to read, checked.

    Args:
        value: what the data hold.
        what: it, with the row that has it, for the sentence.

    Raises:
        ToxauditError: if it is no text, empty, longer than any question, or no Unicode.
    """
    if not isinstance(value, str):
        raise ToxauditError(f"{what} is no text but {'null' if value is None else type(value).__name__}.")
    if not value.strip():
        raise ToxauditError(f"{what} is empty.")
    if len(value) > LONGEST:
        raise ToxauditError(f"{what} has {len(value):,} characters; the most is {LONGEST:,}.")
    return unicode_of(value, what)


def unicode_of(text: str, what: str) -> str:
    """The text, checked: JSON can spell half a surrogate pair, which no tokenizer takes and no file can hold.

    Raises:
        ToxauditError: if it is no Unicode text.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ToxauditError(f"{what} is not Unicode: it holds half a surrogate pair.") from error
    return text
