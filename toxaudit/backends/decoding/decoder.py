"""One model in memory, for all arms that it can answer for at once, decoding in the fastest way that is right.

What is right is what transformers' ``generate`` gives a prompt alone: before anything else, two probes of every arm are
decoded and compared with what transformers makes of them (``expected.py``). A faster way whose tokens differ by more
than a tie is not taken.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

from toxaudit.backends.decoding import likelihood, padded, ragged
from toxaudit.backends.decoding.adapters import LEAST, Adapters
from toxaudit.backends.decoding.expected import PROBE_TOKENS, Expected, Watched, watched
from toxaudit.backends.decoding.finite import Finite
from toxaudit.backends.decoding.padded import Noise
from toxaudit.backends.decoding.prompts import Prefix, Row
from toxaudit.machine import packed, threads
from toxaudit.models import LoadedModel
from toxaudit.spec.schema import Generation

THREAD_TOKENS = 3  # decoded to find the best number of threads
AMONG_ROWS = LEAST + LEAST // 2  # in which probes are decoded among others; alone, a row is decoded in ``LEAST``
FILLING_TOKENS = 2  # of the rows that make up that number

Wrote = Callable[[int], object]


class Decoder:
    """A loaded model that answers for one arm, or for several by their adapters.

    Attributes:
        refused: arms for which this model doesn't give the right tokens: they must be loaded by themselves.
        steady: whether numbers were seen not to depend on the batch.
    """

    def __init__(self, loaded: LoadedModel, expected: dict[str, Expected], adapters: Adapters) -> None:
        """Find the fastest right way.

        Args:
            loaded: the model; without an adapter where ``adapters`` has some.
            expected: of each arm.
            adapters: what is laid over the model for the arms that have one.
        """
        self.loaded, self.refused, self.steady = loaded, set[str](), False
        self._expected, self._adapters = expected, adapters
        self._unpack: Callable[[], None] | None = None
        self._among: dict[str, list[Watched]] = {}  # each arm's probes, as they were decoded among all others
        self._threads = 0  # by which that was done
        self._way = padded.by_length
        self.ragged = False
        try:
            self._find_way()
        except BaseException:  # others use the model, too
            self.close()
            raise

    def close(self) -> None:
        """Leave the model as it was, and let go of it."""
        self._adapters.take_off()
        if self._unpack:
            self._unpack()
        del self.loaded, self._unpack

    def prefixes(self, rows: Sequence[Row]) -> list[Prefix]:
        """Read rows with which others begin; possible only if ``ragged``."""
        prefixes: list[Prefix] = ragged.read_prefixes(self.loaded.inner, rows, self._adapters)
        return prefixes

    def decode(
        self, rows: Sequence[Row], settings: Generation, seeds: Sequence[int], wrote: Wrote
    ) -> list[list[int] | None]:
        """New token ids of each row, the stop token included where the model gave one; None where it gave no numbers.

        Args:
            rows: those of one arm one after another.
            settings: token limit and temperature.
            seeds: of each row's random stream.
            wrote: is told how many tokens were made.

        Raises:
            ValueError: a row is of an arm for which this model was not seen to give the right tokens.
        """
        import torch

        self._must_have_checked({row.arm for row in rows})
        finite = Finite()
        if not self.ragged:
            noise = _noise(seeds, settings.temperature)

            def seen(logits: Any, numbers: list[int]) -> Any:
                scores = noise(logits, numbers)
                finite.saw(scores.amax(-1), numbers)
                return scores

            tokens, stops = [row.tokens for row in rows], rows[0].stops
            new = self._way(self.loaded, tokens, settings.max_new_tokens, stops, seen)
            wrote(sum(map(len, new)))
            return finite.only(new)
        step = packed.STEP if self._unpack and self.loaded.inner.dtype == torch.bfloat16 else 1
        more = max(LEAST - len(rows), -len(rows) % step)  # what these make is thrown away
        noise = _noise([*seeds, *[0] * more], settings.temperature)

        def pick(logits: Any, numbers: list[int]) -> Any:
            scores = noise(logits, numbers)
            chosen = ragged.greatest(scores)
            finite.saw(scores.gather(1, chosen[:, None])[:, 0], numbers)
            return chosen

        arms = {row.arm for row in rows}  # beside several, those that fill up are of none: each keeps as many rows
        filler = replace(rows[-1], arm=arms.pop() if len(arms) == 1 else "", counts=False)
        made: list[list[int]] = ragged.decode(
            self.loaded.inner, [*rows, *[filler] * more], settings.max_new_tokens, pick, self._adapters, wrote, step
        )
        return finite.only(made[: len(rows)])

    def loglikelihoods(self, asked: Sequence[likelihood.Asked]) -> list[float]:
        """The natural logarithm of each continuation's probability after its context.

        Raises:
            ValueError: as ``decode``.
        """
        self._must_have_checked({arm for arm, _ in asked})
        if self.ragged:
            return likelihood.shared(self.loaded.inner, asked, self._adapters)
        return likelihood.loglikelihoods(self.loaded.inner, asked)

    def _must_have_checked(self, arms: set[str]) -> None:
        """Refuse other arms, which the weights alone would answer for."""
        if unchecked := arms - set(self._expected):
            raise ValueError(f"this model was not compared with transformers for {', '.join(sorted(unchecked))}")

    @cached_property
    def bytes_of_token(self) -> int:
        """Bytes of the keys and values of one token of one row."""
        if self.ragged:
            row = Row(next(iter(self._expected.values())).rows[0])
            (prefix,) = self.prefixes([row])
            return int(sum(states.nbytes for layer in prefix.layers for states in layer) // prefix.tokens)
        config = self.loaded.inner.config.get_text_config()
        return int(2 * config.num_hidden_layers * config.hidden_size * self.loaded.inner.dtype.itemsize)

    @property
    def bytes_of_logits(self) -> int:
        """Bytes of the logits of one row, and of what is made of them."""
        return 3 * 4 * self.loaded.known

    def _find_way(self) -> None:
        self.ragged = self._is_ragged()
        if not self.ragged:
            self.refused = set(self._adapters.arms) & set(self._expected)
            self._adapters = Adapters({})
        self._expected = {arm: each for arm, each in self._expected.items() if arm not in self.refused}
        if not self.ragged and self._gives(padded.together):
            self._way = padded.together
        if self.loaded.device == "cpu":
            each = next(iter(self._expected.values()))
            few = [Row(each.rows[number % len(each.rows)], stops=each.stops) for number in range(LEAST)]
            threads.use_fastest(lambda: self._logits(few))
        self.steady = self.ragged and self._is_steady()
        self._among = {}  # they take megabytes an arm

    def _logits(self, rows: Sequence[Row]) -> list[Any]:
        """Those from which the first tokens of some rows of one arm are chosen; none where decoding fails."""
        way = self._ragged(rows, THREAD_TOKENS) if self.ragged else self._padded(rows, THREAD_TOKENS)
        return [logits for _, of_row in watched(way, [None] * len(rows)) or () for logits in of_row]

    def _ragged(self, rows: Sequence[Row], most: int) -> Callable[[Noise], list[list[int]]]:
        def way(noise: Noise) -> list[list[int]]:
            def pick(logits: Any, numbers: list[int]) -> Any:
                return ragged.greatest(noise(logits, numbers))

            made: list[list[int]] = ragged.decode(self.loaded.inner, rows, most, pick, self._adapters)
            return made

        return way

    def _padded(self, rows: Sequence[Row], most: int) -> Callable[[Noise], list[list[int]]]:
        return lambda noise: self._way(self.loaded, [row.tokens for row in rows], most, rows[0].stops, noise)

    def _is_ragged(self) -> bool:
        """Whether ``ragged`` decodes the model rightly; with packed weights where these can be had."""
        model, laid_over = self.loaded.inner, self._adapters
        if not ragged.covers(model):
            return False
        self._unpack = packed.pack(model)
        for packs in (True, False) if self._unpack else (False,):
            if not packs and self._unpack:
                self._unpack()
                self._unpack = None
            for self._adapters in (laid_over, Adapters({})) if laid_over.arms else (laid_over,):
                self._adapters.put_on(model)
                if (wrong := self._wrong()) <= set(laid_over.arms):
                    self.refused = wrong if self._adapters.arms else set(laid_over.arms) & set(self._expected)
                    return True
                self._adapters.take_off()
        self._adapters = laid_over
        return False

    def _wrong(self) -> set[str]:
        """The arms whose probes ``ragged`` doesn't decode rightly, all of them together in one batch."""
        import torch

        of = [arm for arm, expected in self._expected.items() for _ in expected.rows]
        rows = [Row(row, arm, self._expected[arm].stops) for arm in self._expected for row in self._expected[arm].rows]
        told = [tokens for expected in self._expected.values() for tokens in expected.told]
        more = max(0, AMONG_ROWS - len(rows))
        rows += [replace(rows[-1], tokens=rows[-1].tokens[:FILLING_TOKENS])] * more

        self._threads = torch.get_num_threads()
        if (made := watched(self._ragged(rows, PROBE_TOKENS), [*told, *[None] * more])) is None:
            self._among = {}
            return set(self._expected)
        self._among = {arm: [made[number] for number, name in enumerate(of) if name == arm] for arm in self._expected}
        return {arm for arm, each in self._expected.items() if not each.agrees(*zip(*self._among[arm], strict=True))}

    def _gives(self, way: Any) -> bool:
        """Whether one of the ways that pad decodes the probes rightly."""
        for each in self._expected.values():

            def decoded(noise: Noise, each: Expected = each) -> list[list[int]]:
                new: list[list[int]] = way(self.loaded, each.rows, PROBE_TOKENS, each.stops, noise)
                return new

            made = watched(decoded, each.told)
            if made is None or not each.agrees(*zip(*made, strict=True)):
                return False
        return True

    def _is_steady(self) -> bool:
        """Whether a probe's logits are the same, bit by bit, alone and among others: the weights' and an adapter's."""
        import torch

        if self._threads != torch.get_num_threads():  # these were chosen since, and may add up otherwise
            self._wrong()
        adapted = [arm for arm in self._expected if arm in self._adapters.arms]
        plain = [arm for arm in self._expected if arm not in adapted]
        return all(self._is_alike(arm) for arm in [*plain[:1], *adapted[:1]])

    def _is_alike(self, arm: str) -> bool:
        """Whether the first two logits of an arm's shorter probe, or of the longer if that ends at once, are so."""
        import torch

        if arm not in self._among:
            return False
        expected = self._expected[arm]
        probes = zip(expected.rows, expected.told, self._among[arm], strict=True)
        row, told, (_, among) = min(probes, key=lambda probe: (len(probe[2][1]) < 2, len(probe[0])))
        made = watched(self._ragged([Row(row, arm, expected.stops)] * LEAST, 2), [told] * LEAST)
        return made is not None and all(map(torch.equal, made[0][1], among))


def _noise(seeds: Sequence[int], temperature: float) -> Noise:
    """What turns logits of some rows into scores whose argmax is the next token.

    Greedy decoding leaves them as they are. Sampling is the Gumbel-max trick: the argmax of logits / temperature +
    Gumbel noise is a sample of the softmax. Each row has a random stream of its own, so that a sample depends on
    neither batch nor order.
    """
    import torch

    if not temperature:
        return lambda logits, _: logits
    streams = [torch.Generator().manual_seed(seed) for seed in seeds]

    def noisy(logits: Any, numbers: list[int]) -> Any:
        uniform = torch.stack([torch.rand(logits.shape[-1], generator=streams[number]) for number in numbers])
        gumbel = -torch.log(-torch.log(uniform.clamp(1e-20, 1 - 1e-7)))
        return logits.float() / temperature + gumbel.to(logits.device)

    return noisy
