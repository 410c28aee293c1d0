"""The vLLM backend: one offline engine for a base and all adapters over it, which batches their requests itself."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar

from toxaudit.backends import reading
from toxaudit.backends.reading import Pair, Reader
from toxaudit.backends.request import Answered, Done, Request, Wrote
from toxaudit.errors import ToxauditError
from toxaudit.models import Loader, ResolvedModel
from toxaudit.registry import register
from toxaudit.spec.schema import Generation

if TYPE_CHECKING:
    from toxaudit.backends.vllm_engine import Engine

AUTO = "auto"
LAST_TOKENS = 128  # of so many tokens vLLM tells the likelihoods at the end of what it reads


@register("backend", "vllm")
class Vllm:
    """vLLM's engine, in processes of its own on this machine, with adapters as LoRA requests.

    Attributes:
        batch_size: requests decoded at once at most; ``auto`` leaves it to vLLM. Answers that are stored are found
            whatever it is.
    """

    batch_size: Any = AUTO

    server: ClassVar[None] = None
    """No server answers: the weights are loaded here."""

    @property
    def numerics(self) -> str:
        """Names how the numbers are made, with vLLM's version; completions of another are not reused.

        Raises:
            ToxauditError: if vLLM is not installed.
        """
        from toxaudit.backends import vllm_engine

        return f"vllm-1 {vllm_engine.version()}"

    def check(self) -> None:
        """Refuse a batch size that is none, and to begin where vLLM is not installed.

        Raises:
            ToxauditError: if the batch size is no whole number above 0, or if vLLM is not installed.
        """
        from toxaudit.backends import vllm_engine

        if self.batch_size != AUTO and (type(self.batch_size) is not int or self.batch_size < 1):
            raise ToxauditError(f"backend.batch_size is {self.batch_size}: it must be at least 1, or {AUTO}.")
        vllm_engine.version()

    @contextmanager
    def open(self, loader: Loader, arms: Sequence[ResolvedModel]) -> Iterator["Session"]:
        """Start an engine with the weights that the arms share and all their adapters; at the end it is shut down.

        Raises:
            ToxauditError: if vLLM can't run the model or serve an adapter, or if a tokenizer can't be read.
        """
        from toxaudit.backends import vllm_engine

        loader.close()  # the checks may have left the same weights there
        size = None if self.batch_size == AUTO else self.batch_size
        with vllm_engine.start(arms, loader.device, size) as engine:
            yield Session(engine, {arm.name: arm.batch_size for arm in arms if arm.batch_size})


class Session:
    """A running engine, ready to answer the arms' requests."""

    def __init__(self, engine: "Engine", apart: dict[str, int]) -> None:
        """Take the engine, and the controls among the arms with their batch sizes."""
        self._engine, self._apart = engine, apart
        self._reader: Reader = engine.reader

    def generate(
        self, requests: Sequence[Request], generation: Generation, done: Done, wrote: Wrote = lambda tokens: None
    ) -> Iterator[list[Answered]]:
        """Answer what is not ``done``, and yield it as it is finished.

        A control's requests go to the engine apart, in batches of its own size that are formed from all of them.

        Args:
            requests: of any arms of the session, in any order.
            generation: token limit, temperature, seed.
            done: whether a request's completion is stored already.
            wrote: is told how many tokens were written, once a completion is finished.

        Raises:
            ToxauditError: if a prompt is longer than the model can read, or asks for a chat template, or for a system
                prompt in it, that the model lacks; or if the engine fails.
        """
        rows = self._reader.rows(requests, generation.max_new_tokens)
        for numbers in self._parts(requests, done):
            work = [(n, requests[n].arm, rows[n], self._sampling(requests[n], generation)) for n in numbers]
            for finished in self._engine.run(work):
                wrote(sum(len(output.outputs[0].token_ids) for _, output in finished))
                wanted = [(requests[n], output) for n, output in finished if not done(requests[n])]
                if wanted:
                    yield [
                        (each, self._reader.completion(each, output.outputs[0].token_ids)) for each, output in wanted
                    ]

    def choose(self, requests: Sequence[Request], done: Done) -> Iterator[list[Answered]]:
        """Choose the likeliest of each prompt's choices, and yield it once all are read; what reads alike is read once.

        Args:
            requests: as for ``generate``; their prompts have choices.
            done: as for ``generate``.

        Raises:
            ToxauditError: if a prompt with one of its choices is longer than the model can read, if a choice has no
                token of its own, or if ``generate`` would refuse.
        """
        pairs = self._reader.pairs(requests, new=1)  # vLLM always writes one token after what it reads
        for numbers in self._parts(requests, done):
            work = [(n, requests[n].arm, *reading) for n in numbers for reading in _readings(pairs[n])]
            unread = Counter(number for number, *_ in work)
            found: dict[int, dict[Pair, float]] = defaultdict(dict)
            for finished in self._engine.run(work):
                for n, output in finished:
                    found[n] |= _likelihoods(output, pairs[n])
                unread.subtract(n for n, _ in finished)
                whole = [n for n in dict.fromkeys(n for n, _ in finished) if not unread[n] and not done(requests[n])]
                if whole:
                    chances = {n: [found[n][pair] for pair in pairs[n]] for n in whole}
                    yield [(requests[n], self._reader.choice(requests[n], chances[n])) for n in whole]

    def fits(self, arm: str, texts: Sequence[str], ask: str, new: int) -> list[bool]:
        """Whether the model can read each text and write ``new`` tokens after it."""
        return self._reader.fits(arm, texts, ask, new)

    def _parts(self, requests: Sequence[Request], done: Done) -> Iterator[list[int]]:
        """The numbers of the requests that go to the engine together."""
        left = [n for n, request in enumerate(requests) if request.arm not in self._apart and not done(request)]
        if left:
            yield left
        for arm, size in self._apart.items():
            own = [n for n, request in enumerate(requests) if request.arm == arm]
            for start in range(0, len(own), size):
                if not all(done(requests[n]) for n in own[start : start + size]):
                    yield own[start : start + size]

    def _sampling(self, request: Request, generation: Generation) -> Any:
        """Settings of a completion for vLLM: all that its repository could decide is said, or switched off."""
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        return SamplingParams(
            temperature=generation.temperature,
            seed=reading.stream(request, generation.seed) if generation.temperature else None,
            max_tokens=generation.max_new_tokens,
            stop_token_ids=sorted(self._reader.stops[request.arm]),
            ignore_eos=True,  # those are all that end a completion
            detokenize=False,
            output_kind=RequestOutputKind.FINAL_ONLY,
        )


def _readings(pairs: Sequence[Pair]) -> Iterator[tuple[tuple[int, ...], Any]]:
    """What is to be read for the choices of a prompt, with vLLM's settings."""
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind

    by_read: dict[tuple[int, ...], list[Pair]] = defaultdict(list)
    for pair in pairs:
        by_read[pair.read].append(pair)
    for read, alike in by_read.items():
        last = sorted({pair.continuation[-1] for pair in alike})
        longer = any(len(pair.continuation) > 1 for pair in alike)
        for start in range(0, len(last), LAST_TOKENS):
            settings = SamplingParams(
                temperature=0.0,
                max_tokens=1,
                prompt_logprobs=0 if longer else None,
                logprob_token_ids=last[start : start + LAST_TOKENS],
                ignore_eos=True,
                detokenize=False,
                output_kind=RequestOutputKind.FINAL_ONLY,
            )
            yield read, settings


def _likelihoods(output: Any, pairs: Sequence[Pair]) -> dict[Pair, float]:
    """The natural logarithms of the probabilities of those continuations of which vLLM's ``output`` tells."""
    read = tuple(output.prompt_token_ids)
    last = output.outputs[0].logprobs[0]
    found = {}
    for pair in pairs:
        if pair.read == read and pair.continuation[-1] in last:
            places = range(len(pair.context), len(read))
            before = [output.prompt_logprobs[place][read[place]].logprob for place in places]
            found[pair] = sum(before) + last[pair.continuation[-1]].logprob
    return found
