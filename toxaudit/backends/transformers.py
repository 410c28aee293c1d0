"""The default backend: transformers on this machine, without padding where the architecture allows it."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar

from toxaudit.backends import reading
from toxaudit.backends.request import Answered, Done, Request, Wrote
from toxaudit.errors import ToxauditError
from toxaudit.machine import stopping
from toxaudit.machine.memory import memory_free
from toxaudit.models import Loader, ResolvedModel
from toxaudit.registry import register
from toxaudit.spec.schema import Generation

if TYPE_CHECKING:
    from toxaudit.backends.decoding.decoder import Decoder
    from toxaudit.backends.decoding.prompts import Row
    from toxaudit.backends.decoding.sharing import Models

AUTO = "auto"
MOST_ROWS = {"cpu": 256, "cuda": 512}  # decoded together; more gains nothing
FREE_SHARE = 0.4  # of the memory that is free, for keys, values and logits
SHARED_TOKENS = 32
"""A beginning of whole blocks of so many, as attention computes them, is read apart to the same bits."""

Answer = Callable[[Sequence[int]], list[Answered]]


@register("backend", "transformers")
class Transformers:
    """transformers' models, decoded without padding, or by ``generate`` where that is not covered.

    Attributes:
        batch_size: prompts decoded together; ``auto`` takes as many as are worth it and fit in the free memory.
            Answers that are stored are found whatever it is.
    """

    batch_size: Any = AUTO

    server: ClassVar[None] = None
    """No server answers: the weights are loaded here."""

    numerics = "transformers-2"
    """Names how the numbers are made; completions of another are not reused."""

    def check(self) -> None:
        """Refuse a batch size that is none.

        Raises:
            ToxauditError: if the batch size is neither ``auto`` nor a whole number above 0.
        """
        if self.batch_size != AUTO and (type(self.batch_size) is not int or self.batch_size < 1):
            raise ToxauditError(f"backend.batch_size is {self.batch_size}: it must be at least 1, or {AUTO}.")

    @contextmanager
    def open(self, loader: Loader, arms: Sequence[ResolvedModel]) -> Iterator["Session"]:
        """Look at arms over the same weights, so that they can answer.

        Raises:
            ToxauditError: if ``models.load`` refuses an arm.
        """
        from toxaudit.backends.decoding.sharing import Models

        models = Models(loader, arms)
        try:
            yield Session(models, arms, None if self.batch_size == AUTO else self.batch_size)
        finally:
            models.close()


class Session:
    """Arms over the same weights, ready to answer: those with ordinary adapters in one batch, others in their turn."""

    def __init__(self, models: "Models", arms: Sequence[ResolvedModel], batch_size: int | None) -> None:
        """Take the arms' models, the arms, and how many prompts are decoded together; None finds out."""
        from toxaudit.backends.decoding.batches import Room

        self._models, self._reader = models, models.reader
        self._order = {arm.name: place for place, arm in enumerate(arms)}
        self._sizes = {arm.name: arm.batch_size or batch_size for arm in arms}
        self._room = Room()

    def generate(
        self, requests: Sequence[Request], generation: Generation, done: Done, wrote: Wrote = lambda tokens: None
    ) -> Iterator[list[Answered]]:
        """Answer what is not ``done``, a batch at a time.

        Args:
            requests: of any arms of the session, in any order.
            generation: token limit, temperature, seed.
            done: whether a request's completion is stored already.
            wrote: is told how many tokens were written, as they are; fewer than none where some are written anew.

        Raises:
            ToxauditError: if a prompt is longer than the model can read, or asks for a chat template, or for a system
                prompt in it, that the model lacks; or if the memory is too small for one prompt.
        """
        tokens = self._reader.rows(requests, generation.max_new_tokens)
        lengths = [len(row) for row in tokens]
        for decoder, numbers in self._parts(requests, lengths, done):
            rows = self._rows(decoder, requests, tokens, numbers)

            def answer(batch: Sequence[int], decoder: Any = decoder, rows: Any = rows) -> list[Answered]:
                seeds = [reading.stream(requests[n], generation.seed) for n in batch]
                batch_rows = [rows[n] for n in batch]
                new = _counted(wrote, lambda tell: decoder.decode(batch_rows, generation, seeds, tell))
                made = zip(batch, new, strict=True)
                return [(requests[n], self._reader.completion(requests[n], row)) for n, row in made]

            size = self._size(decoder, requests[numbers[0]], lengths[numbers[0]] + generation.max_new_tokens)
            yield from self._answered(requests, numbers, size, done, answer)

    def choose(self, requests: Sequence[Request], done: Done) -> Iterator[list[Answered]]:
        """Choose the likeliest of each prompt's choices, a batch of prompts at a time, leaving out what is ``done``.

        Args:
            requests: as for ``generate``; their prompts have choices.
            done: as for ``generate``.

        Raises:
            ToxauditError: if a prompt with one of its choices is longer than the model can read, if a choice has no
                token of its own, or if ``generate`` would refuse.
        """
        pairs = self._reader.pairs(requests)
        lengths = [max(len(pair.read) for pair in each) for each in pairs]
        for decoder, numbers in self._parts(requests, lengths, done):

            def answer(batch: Sequence[int], decoder: Any = decoder) -> list[Answered]:
                found = iter(decoder.loglikelihoods([(requests[n].arm, pair) for n in batch for pair in pairs[n]]))
                chances = {n: [next(found) for _ in pairs[n]] for n in batch}
                return [(requests[n], self._reader.choice(requests[n], chances[n])) for n in batch]

            size = self._size(decoder, requests[numbers[0]], lengths[numbers[0]])
            yield from self._answered(requests, numbers, size, done, answer)

    def fits(self, arm: str, texts: Sequence[str], ask: str, new: int) -> list[bool]:
        """Whether the model can read each text and write ``new`` tokens after it."""
        return self._reader.fits(arm, texts, ask, new)

    def _parts(
        self, requests: Sequence[Request], lengths: Sequence[int], done: Done
    ) -> Iterator[tuple["Decoder", list[int]]]:
        """Each model that is needed, and the numbers of the requests for it that are answered in one row of batches.

        These are longest first. Where numbers don't depend on the batch, they are what is not done of all arms that
        share the model; else an arm's by itself, done or not, so that a resumed run has the same batches.
        """
        order = sorted(
            range(len(requests)),
            key=lambda n: (-lengths[n], requests[n].prompt.id, requests[n].sample, self._order[requests[n].arm]),
        )
        waiting = {request.arm for request in requests if not done(request)}
        for decoder, arms in self._models.parts([arm for arm in self._order if arm in waiting]):
            groups = defaultdict(list)
            for n in order:
                arm = requests[n].arm
                if arm in arms and not (decoder.steady and done(requests[n])):
                    groups[self._sizes[arm] if decoder.steady else arm].append(n)
            yield from ((decoder, numbers) for numbers in groups.values())

    def _answered(
        self, requests: Sequence[Request], numbers: Sequence[int], size: int, done: Done, answer: Answer
    ) -> Iterator[list[Answered]]:
        from toxaudit.backends.decoding.batches import batches

        for batch in batches(numbers, size, len({requests[n].arm for n in numbers})):
            if all(done(requests[n]) for n in batch):
                continue
            by_arm = sorted(batch, key=lambda n: self._order[requests[n].arm])
            for found in stopping.each_finished(self._room.answered(by_arm, answer)):
                if wanted := [each for each in found if not done(each[0])]:
                    yield wanted

    def _size(self, decoder: "Decoder", request: Request, longest: int) -> int:
        """How many rows of at most ``longest`` tokens are decoded together."""
        if size := self._sizes[request.arm]:
            return size
        device = decoder.loaded.device
        row = decoder.bytes_of_token * longest + decoder.bytes_of_logits
        return max(1, min(MOST_ROWS.get(device.split(":")[0], 64), int(FREE_SHARE * memory_free(device)) // row))

    def _rows(
        self, decoder: "Decoder", requests: Sequence[Request], tokens: Sequence[list[int]], numbers: Sequence[int]
    ) -> dict[int, "Row"]:
        """The rows to be continued; where prompts of an arm begin alike, as with a template, that is read once.

        How far they do is told from all of them, done or not: what is read apart is rounded otherwise.
        """
        from toxaudit.backends.decoding.prompts import Row

        arms = {requests[n].arm for n in numbers}
        alike: dict[tuple[str, str, str | None], list[list[int]]] = defaultdict(list)
        for request, row in zip(requests, tokens, strict=True):
            if request.arm in arms and decoder.ragged:
                alike[request.arm, request.ask, request.system].append(row)
        common = {key: _common(rows) for key, rows in alike.items() if len(rows) > 1}
        worth = sorted((key for key, begin in common.items() if begin), key=lambda key: self._order[key[0]])
        read = decoder.prefixes([Row(common[key], key[0]) for key in worth]) if worth else []
        prefixes = dict(zip(worth, read, strict=True))

        def made(n: int) -> Row:
            arm, ask, system = requests[n].arm, requests[n].ask, requests[n].system
            return Row(tokens[n], arm, self._reader.stops[arm], prefixes.get((arm, ask, system)))

        return {n: made(n) for n in numbers}


def _common(rows: Sequence[list[int]]) -> list[int]:
    """The tokens with which all rows begin, in whole steps of ``SHARED_TOKENS``; each row has at least one more."""
    first, last = min(rows), max(rows)
    most = min(map(len, rows)) - 1
    same = next((place for place in range(most) if first[place] != last[place]), most)
    return first[: same // SHARED_TOKENS * SHARED_TOKENS]


def _counted(wrote: Wrote, work: Callable[[Wrote], Any]) -> Any:
    """Do work that reports the tokens it writes, and take its reports back if it fails."""
    written = 0

    def tell(tokens: int) -> None:
        nonlocal written
        written += tokens
        wrote(tokens)

    try:
        return work(tell)
    except Exception:
        wrote(-written)
        raise
