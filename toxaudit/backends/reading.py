"""Prompts -> the tokens that a model reads, and new tokens -> completions: the same whichever backend runs the model.

Where a choice begins is as in lm-evaluation-harness (0.4.13, ``TemplateLM._encode_pair``), with and without a chat
template; but nothing is cut off what is too long, and a chat template alone writes the token that begins a text.
"""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Literal

from toxaudit import thoughts
from toxaudit.backends.request import Request
from toxaudit.errors import ToxauditError
from toxaudit.models import chat_template, tokenizer
from toxaudit.records import Completion, digest

DELIMITER = {"raw": " ", "chat": ""}
"""What stands between a prompt and a choice, by how it is asked."""

NO_NUMBER = "the model's output was no number"
"""Why a completion is missing whose tokens were chosen from NaN or infinity."""

Way = tuple[int, str, str | None, str]
"""A tokenizer, how prompts are asked through it, the system prompt, what the template takes besides."""


@dataclass(frozen=True)
class Pair:
    """The tokens of a context and of one of its continuations, at least one each."""

    context: tuple[int, ...]
    continuation: tuple[int, ...]

    @property
    def read(self) -> tuple[int, ...]:
        """What the model reads: all but the last token, which it has only to predict."""
        return self.context + self.continuation[:-1]


def stream(request: Request, seed: int) -> int:
    """The seed of the random stream that a sample of a prompt has to itself, at the audit's ``seed``."""
    name = request.prompt.text + (f"\0{request.sample}" if request.sample else "")
    return int(digest(str(seed), name)[:15], 16)


class Reader:
    """Reads prompts for arms over one model, each through its own tokenizer; what is read alike is tokenized once."""

    def __init__(
        self, tokenizers: Mapping[str, Any], ends: frozenset[int], known: int, most: int | None = None
    ) -> None:
        """Take what makes tokens of texts.

        Args:
            tokenizers: arm -> transformers' tokenizer.
            ends: the tokens by which the model's configurations let a text end.
            known: the number of tokens for which the model has embeddings.
            most: how many tokens the model can read, where its configuration tells.
        """
        self._tokenizers, self._known, self.most = tokenizers, known, most
        self.stops = {arm: tokenizer.stops(words, ends) for arm, words in tokenizers.items()}
        """Arm -> the tokens that end a completion."""
        self._marking = {arm: tokenizer.marking_thoughts(words) for arm, words in tokenizers.items()}
        self._begun: dict[Way, dict[str, str]] = {}  # of prompts whose template begins a thought, by way

    def rows(self, requests: Sequence[Request], new: int) -> list[list[int]]:
        """The tokens of each request's prompt; arms that share a tokenizer share the lists.

        Args:
            requests: in any order.
            new: how many tokens are to be written after each.

        Raises:
            ToxauditError: if a prompt has no token, is longer than the model can read, or asks for a chat template, or
                for a system prompt in it, that the model lacks.
        """
        contexts = self._contexts(requests)
        made: dict[tuple[int, str, bool], list[int]] = {}
        rows = []
        for request, context in zip(requests, contexts, strict=True):
            key = (id(self._tokenizers[request.arm]), context, self._takes_special(request.arm, context, request.ask))
            if key not in made:
                made[key] = self._encoded(request.arm, *key[1:])
                self._check_length(request, made[key], new)
            rows.append(made[key])
        return rows

    def pairs(self, requests: Sequence[Request], new: int = 0) -> list[list[Pair]]:
        """Each request's prompt with each of its choices.

        White space at the prompt's end belongs to the choice, since most tokenizers join it to the word that follows.
        Both are then read as one text, and cut where the prompt alone would end. An empty prompt is the token that
        begins every text, or else the one that ends it.

        Args:
            requests: in any order; their prompts have choices.
            new: how many tokens the backend must write after what it reads, although nobody wants them.

        Raises:
            ToxauditError: if a prompt with one of its choices is longer than the model can read, if no token is left
                for a choice, if the model lacks the chat template or system prompt that is asked for, or if that
                template begins a thought.
        """
        contexts = self._contexts(requests)
        self._check_no_thought(requests)
        made: dict[tuple[int, str, str, tuple[str, ...]], list[Pair]] = {}
        found = []
        for request, context in zip(requests, contexts, strict=True):
            key = (id(self._tokenizers[request.arm]), context, request.ask, request.prompt.choices)
            if key not in made:
                made[key] = [self._pair(request, context, DELIMITER[request.ask] + c) for c in request.prompt.choices]
                self._check_choices(request, made[key], new)
            found.append(made[key])
        return found

    def fits(self, arm: str, texts: Sequence[str], ask: str, new: int) -> list[bool]:
        """Whether the model can read each text and write ``new`` tokens after it."""
        rendered = self._rendered(arm, texts, ask, None, {})
        rows = [self._encoded(arm, text, self._takes_special(arm, text, ask)) for text in rendered]
        return [not self.most or len(row) + new <= self.most for row in rows]

    def completion(self, request: Request, row: Sequence[int] | None) -> Completion:
        """What new tokens say, the last of which ends the completion if it is a stop token; None says nothing.

        A thought that a chat template begins, as ``rows`` has seen, begins the text as well.
        """
        if row is None:
            return Completion(request.arm, request.prompt.id, request.sample, "", None, "other", missing=NO_NUMBER)
        stopped = bool(row) and row[-1] in self.stops[request.arm]
        tokens = list(row[:-1] if stopped else row)
        begun = self._begun.get(self._way(request), {}).get(request.prompt.text, "")
        text = begun + self._decoded(request.arm, tokens, marks=request.ask == "chat")
        finish: Literal["stop", "length"] = "stop" if stopped else "length"
        return Completion(request.arm, request.prompt.id, request.sample, text, len(tokens), finish)

    def choice(self, request: Request, loglikelihoods: Sequence[float]) -> Completion:
        """The likeliest of the prompt's choices, whose likelihoods come in their order."""
        found = tuple(loglikelihoods)
        text = request.prompt.choices[found.index(max(found))]
        return Completion(request.arm, request.prompt.id, request.sample, text, 0, "stop", found)

    def _contexts(self, requests: Sequence[Request]) -> list[str]:
        """What the model reads of each request's prompt, as text."""
        alike: dict[Way, list[int]] = defaultdict(list)
        for number, request in enumerate(requests):
            alike[self._way(request)].append(number)
        contexts = [request.prompt.text for request in requests]
        for way, numbers in alike.items():
            first = requests[numbers[0]]
            texts = list(dict.fromkeys(contexts[number] for number in numbers))
            made = self._rendered(first.arm, texts, first.ask, first.system, first.takes)
            rendered = dict(zip(texts, made, strict=True))
            if first.ask == "chat":
                begun = {text: mark for text, each in rendered.items() if (mark := thoughts.begun(each))}
                self._begun.setdefault(way, {}).update(begun)
            for number in numbers:
                contexts[number] = rendered[contexts[number]]
        return contexts

    def _way(self, request: Request) -> Way:
        taken = json.dumps(dict(request.takes), sort_keys=True)
        return id(self._tokenizers[request.arm]), request.ask, request.system, taken

    def _decoded(self, arm: str, row: Sequence[int], marks: bool) -> str:
        """The text of new tokens, without special ones but, where ``marks``, those that mark thoughts."""
        words, kept = self._tokenizers[arm], self._marking[arm] if marks else {}
        pieces = [list(piece) for _, piece in groupby(row, kept.get)] if kept.keys() & set(row) else [row]
        return "".join(
            kept[piece[0]] * len(piece) if piece and piece[0] in kept else words.decode(piece, skip_special_tokens=True)
            for piece in pieces
        )

    def _rendered(
        self, arm: str, texts: Sequence[str], ask: str, system: str | None, takes: Mapping[str, Any]
    ) -> Sequence[str]:
        if ask == "raw":
            return texts
        if not self._tokenizers[arm].chat_template:
            raise ToxauditError(f"{arm} has no chat template: set ask: raw in the suite.")
        return chat_template.render(arm, self._tokenizers[arm], texts, system, takes)

    def _takes_special(self, arm: str, text: str, ask: str) -> bool:
        """Whether the tokenizer is to add its special tokens: a chat template writes those that it wants itself."""
        begin = self._tokenizers[arm].bos_token
        return ask == "raw" and not (begin and text.startswith(begin))

    def _encoded(self, arm: str, text: str, special: bool) -> list[int]:
        return tokenizer.encode(arm, self._tokenizers[arm], text, special, self._known)

    def _pair(self, request: Request, context: str, continuation: str) -> Pair:
        kept, arm = context.rstrip(), request.arm
        special = self._takes_special(arm, context, request.ask)
        if kept:
            before = self._encoded(arm, kept, special)
            after = self._encoded(arm, context + continuation, special)[len(before) :]
        else:
            before = [self._first(request)]
            after = self._encoded(arm, context + continuation, special=False)
            after = after[1:] if after[:1] == before else after
        if not after:
            choice = continuation.removeprefix(DELIMITER[request.ask])
            raise ToxauditError(
                f"{arm}: the tokenizer makes no token of choice '{choice}' of prompt '{request.prompt.id}'."
            )
        return Pair(tuple(before), tuple(after))

    def _first(self, request: Request) -> int:
        """The token that an empty prompt is."""
        words = self._tokenizers[request.arm]
        for token in (words.bos_token_id, words.eos_token_id):
            if token is not None:
                return int(token)
        raise ToxauditError(
            f"{request.arm}: prompt '{request.prompt.id}' is empty, and the tokenizer has no token that begins or ends "
            "a text: leave it out."
        )

    def _check_no_thought(self, requests: Sequence[Request]) -> None:
        """Refuse to weigh choices where the prompt ends within a thought: they would be weighed as thoughts."""
        for request in requests:
            if request.ask == "chat" and self._begun[self._way(request)].get(request.prompt.text):
                raise ToxauditError(
                    f"{request.arm}: its chat template begins a thought, in which the choices of suite "
                    f"'{request.prompt.suite}' can't be weighed: switch thinking off by "
                    "generation.chat_template_kwargs, or set ask: raw in the suite."
                )

    def _check_length(self, request: Request, row: list[int], new: int) -> None:
        if not row:
            raise ToxauditError(f"{request.arm}: the tokenizer makes no token of prompt '{request.prompt.id}'.")
        if self.most and len(row) + new > self.most:
            raise ToxauditError(
                f"{request.arm} reads at most {self.most} tokens, but prompt '{request.prompt.id}' has {len(row)} and "
                f"is to get {new} more: leave it out, or lower generation.max_new_tokens."
            )

    def _check_choices(self, request: Request, pairs: list[Pair], new: int) -> None:
        longest = max(len(pair.read) for pair in pairs)
        if self.most and longest + new > self.most:
            raise ToxauditError(
                f"{request.arm} reads at most {self.most - new} tokens, but prompt '{request.prompt.id}' has {longest} "
                "with its longest choice: leave it out."
            )
