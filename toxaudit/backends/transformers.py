"""The default backend: transformers on this machine, without padding where the architecture allows it."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any

from toxaudit import progress, threads
from toxaudit.errors import ToxauditError
from toxaudit.models import LoadedModel, Loader, ResolvedModel, chat_template
from toxaudit.models.tokenizer import PROBES
from toxaudit.records import Completion, Prompt, digest
from toxaudit.registry import register
from toxaudit.spec import Generation

if TYPE_CHECKING:
    from toxaudit.backends.likelihood import Pair

BATCH_SIZE = {"cpu": 128, "cuda": 256}
PROBE_TOKENS = 8
PAD = 0  # any token that every vocabulary has: it is masked
THREAD_ROWS = 16  # decoded, or read, to find the best number of threads
DELIMITER = {"raw": " ", "chat": ""}
"""What stands between a prompt and a choice, by how it is asked."""

Decode = Callable[[list[list[int]], Generation, list[str]], list[list[int]]]
"""Token ids of each prompt, settings, names of random streams -> new token ids, the stop token included if one came."""


@register("backend", "transformers")
class Transformers:
    """transformers' models, decoded without padding, or by ``generate`` where that is not covered.

    Attributes:
        batch_size: prompts decoded together; null chooses by the device. Not part of what completions are keyed by.
    """

    batch_size: int | None = None

    numerics = "transformers-1"
    """Names how the numbers are made; completions of another are not reused."""

    def check(self) -> None:
        """Refuse a batch size below 1.

        Raises:
            ToxauditError: so it is.
        """
        if self.batch_size is not None and self.batch_size < 1:
            raise ToxauditError(f"backend.batch_size is {self.batch_size}: it must be at least 1, or null.")

    @contextmanager
    def open(self, loader: Loader, resolved: ResolvedModel) -> Iterator["Arm"]:
        """Load one arm, checked.

        Raises:
            ToxauditError: as ``models.load``.
        """
        with loader.open(resolved) as loaded:
            size = resolved.batch_size or self.batch_size or BATCH_SIZE.get(loaded.device.split(":")[0], 64)
            arm = Arm(loaded, size)
            try:
                yield arm
            finally:
                arm.close()


class Arm:
    """One loaded model, ready to answer prompts."""

    def __init__(self, loaded: LoadedModel, batch_size: int) -> None:
        """Take a loaded model and the number of prompts to decode together."""
        self._loaded, self._batch_size = loaded, batch_size
        self._stops = set(loaded.stops)
        self._unpack: Callable[[], None] | None = None
        self._decode = self._fastest_right()
        if self._decode != self._ragged:
            progress.say(f"{loaded.name}: this architecture is decoded by generate(), which is slower.")

    def close(self) -> None:
        """Let go of the model, and leave its weights to others as they were."""
        if self._unpack:
            self._unpack()
        del self._loaded, self._unpack

    def generate(
        self,
        prompts: Sequence[Prompt],
        ask: str,
        generation: Generation,
        done: Callable[[Prompt], bool],
        sample: int = 0,
        system: str | None = None,
    ) -> Iterator[list[Completion]]:
        """Answer ``prompts`` once, a batch at a time, leaving out those that are ``done``.

        Batches are formed from all prompts, done or not, so that a resumed run computes in the same batches.

        Args:
            prompts: in any order.
            ask: ``raw`` (continue the text) or ``chat`` (answer it as a user's turn).
            generation: token limit, temperature, seed.
            done: whether a prompt's completion is stored already.
            sample: which of a prompt's samples to make; each has a random stream of its own.
            system: the system prompt before the user's turn, where ``ask`` is ``chat``.

        Raises:
            ToxauditError: a prompt is longer than the model can read, or asks for a chat template, or for a system
                prompt in it, that the model lacks.
        """
        rows = self._encode([prompt.text for prompt in prompts], ask, system)
        encoded = {prompt.id: row for prompt, row in zip(prompts, rows, strict=True)}
        self._check_lengths(encoded, generation.max_new_tokens)
        ordered = sorted(prompts, key=lambda prompt: (-len(encoded[prompt.id]), prompt.id))
        if self._loaded.device == "cpu" and not all(map(done, prompts)):
            self._choose_threads([encoded[prompt.id] for prompt in ordered[:THREAD_ROWS]])
        for batch in self._batches(ordered, done):
            streams = [prompt.text + (f"\0{sample}" if sample else "") for prompt in batch]
            rows = self._decode([encoded[prompt.id] for prompt in batch], generation, streams)
            yield [
                self._completion(prompt, row, sample)
                for prompt, row in zip(batch, rows, strict=True)
                if not done(prompt)
            ]

    def choose(
        self,
        prompts: Sequence[Prompt],
        ask: str,
        done: Callable[[Prompt], bool],
        system: str | None = None,
    ) -> Iterator[list[Completion]]:
        """Choose the likeliest of each prompt's choices, a batch of prompts at a time, leaving out what is ``done``.

        Batches are formed as by ``generate``. They could change a likelihood by rounding only: nothing is padded.

        Args:
            prompts: with choices, in any order.
            ask: ``raw`` (a choice follows the text after a space) or ``chat`` (it is the answer to the text as a user's
                turn), as lm-evaluation-harness has it without and with a chat template; but where the template writes
                no token that begins a text, none is added.
            done: whether a prompt's completion is stored already.
            system: the system prompt before the user's turn, where ``ask`` is ``chat``.

        Raises:
            ToxauditError: a prompt with one of its choices is longer than the model can read, a choice has no token of
                its own, or as by ``generate``.
        """
        from toxaudit.backends import likelihood

        pairs = self._pairs(prompts, ask, system)
        longest = {prompt: max(len(pair.read) for pair in found) for prompt, found in pairs.items()}
        self._check_choices(longest)
        ordered = sorted(prompts, key=lambda prompt: (-longest[prompt.id], prompt.id))
        if self._loaded.device == "cpu" and not all(map(done, prompts)):
            few = [pair for prompt in ordered[:THREAD_ROWS] for pair in pairs[prompt.id]][:THREAD_ROWS]
            threads.use_fastest(lambda: likelihood.loglikelihoods(self._loaded.inner, few))
        for batch in self._batches(ordered, done):
            asked = [pair for prompt in batch for pair in pairs[prompt.id]]
            found = iter(likelihood.loglikelihoods(self._loaded.inner, asked))
            chosen = [self._choice(prompt, tuple(islice(found, len(prompt.choices)))) for prompt in batch]
            yield [completion for prompt, completion in zip(batch, chosen, strict=True) if not done(prompt)]

    def fits(self, texts: Sequence[str], ask: str, new: int) -> list[bool]:
        """Whether the model can read each text and write ``new`` tokens after it."""
        return [not self._most or len(row) + new <= self._most for row in self._encode(texts, ask)]

    def _pairs(self, prompts: Sequence[Prompt], ask: str, system: str | None) -> dict[str, list["Pair"]]:
        """What is read of each prompt, with each of its choices."""
        from toxaudit.backends import likelihood

        contexts = self._rendered([prompt.text for prompt in prompts], ask, system)
        return {
            prompt.id: likelihood.pairs(
                self._loaded,
                prompt.id,
                context,
                [DELIMITER[ask] + choice for choice in prompt.choices],
                self._takes_special(context, ask),
            )
            for prompt, context in zip(prompts, contexts, strict=True)
        }

    def _batches(self, ordered: Sequence[Prompt], done: Callable[[Prompt], bool]) -> Iterator[Sequence[Prompt]]:
        """The prompts in batches, without those batches of which all is done."""
        for start in range(0, len(ordered), self._batch_size):
            batch = ordered[start : start + self._batch_size]
            if not all(map(done, batch)):
                yield batch

    @property
    def _most(self) -> int | None:
        """How many tokens the model can read, where its configuration tells."""
        most: int | None = getattr(self._loaded.inner.config.get_text_config(), "max_position_embeddings", None)
        return most

    def _check_lengths(self, encoded: dict[str, list[int]], new: int) -> None:
        most = self._most
        for prompt, row in encoded.items():
            if not row:
                raise ToxauditError(f"{self._loaded.name}: the tokenizer makes no token of prompt '{prompt}'.")
            if most and len(row) + new > most:
                raise ToxauditError(
                    f"{self._loaded.name} reads at most {most} tokens, but prompt '{prompt}' has {len(row)} and is to "
                    f"get {new} more: leave it out, or lower generation.max_new_tokens."
                )

    def _check_choices(self, longest: dict[str, int]) -> None:
        for prompt, length in longest.items():
            if self._most and length > self._most:
                raise ToxauditError(
                    f"{self._loaded.name} reads at most {self._most} tokens, but prompt '{prompt}' has {length} with "
                    "its longest choice: leave it out."
                )

    def _choose_threads(self, rows: list[list[int]]) -> None:
        few = Generation(max_new_tokens=PROBE_TOKENS // 2)
        threads.use_fastest(lambda: self._decode(rows, few, [""] * len(rows)))

    def _encode(self, texts: Sequence[str], ask: str, system: str | None = None) -> list[list[int]]:
        rendered = self._rendered(texts, ask, system)
        return [self._loaded.encode(text, self._takes_special(text, ask)) for text in rendered]

    def _rendered(self, texts: Sequence[str], ask: str, system: str | None) -> Sequence[str]:
        """What the model reads of each text."""
        if ask == "raw":
            return texts
        if not self._loaded.tokenizer.chat_template:
            raise ToxauditError(f"{self._loaded.name} has no chat template: set ask: raw in the suite.")
        return chat_template.render(self._loaded.name, self._loaded.tokenizer, texts, system)

    def _takes_special(self, text: str, ask: str) -> bool:
        """Whether the tokenizer is to add its special tokens: a chat template writes those that it wants itself."""
        begin = self._loaded.tokenizer.bos_token
        return ask == "raw" and not (begin and text.startswith(begin))

    def _fastest_right(self) -> Decode:
        """The fastest way of decoding that gives two probes together the tokens that ``generate`` gives each alone."""
        from toxaudit.backends import ragged
        from toxaudit.models import packed

        probes = self._encode(PROBES, "raw")
        greedy = Generation(max_new_tokens=PROBE_TOKENS)
        alone = [self._padded([row], greedy, [""])[0] for row in probes]
        covered = ragged.covers(self._loaded.inner)
        if covered and (unpack := packed.pack(self._loaded.inner)):
            if self._gives(alone, self._ragged, probes):
                self._unpack = unpack
                return self._ragged
            unpack()
        for way in (self._ragged, self._padded) if covered else (self._padded,):
            if self._gives(alone, way, probes):
                return way
        return self._of_one_length

    def _gives(self, expected: list[list[int]], way: Decode, probes: list[list[int]]) -> bool:
        """Whether ``way`` decodes the probes to the expected tokens."""
        try:
            return way(probes, Generation(max_new_tokens=PROBE_TOKENS), list(PROBES)) == expected
        except Exception:  # an architecture may make anything of a cache or mask it has not met: then it isn't covered
            return False

    def _ragged(self, rows: list[list[int]], generation: Generation, texts: list[str]) -> list[list[int]]:
        """New token ids of each row, the stop token included where the model gave one."""
        from toxaudit.backends import ragged

        noise = _noise(texts, generation)

        def pick(logits: Any, numbers: list[int]) -> Any:
            return noise(logits, numbers).argmax(-1)

        new: list[list[int]] = ragged.decode(self._loaded.inner, rows, generation.max_new_tokens, self._stops, pick)
        return new

    def _padded(self, rows: list[list[int]], generation: Generation, texts: list[str]) -> list[list[int]]:
        """The same by transformers' ``generate``."""
        import torch
        from transformers import GenerationConfig, LogitsProcessorList

        longest = max(map(len, rows))
        ids = torch.tensor([[PAD] * (longest - len(row)) + row for row in rows], device=self._loaded.device)
        mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows], device=self._loaded.device)
        noise, numbers = _noise(texts, generation), list(range(len(rows)))
        settings = GenerationConfig(
            max_new_tokens=generation.max_new_tokens,
            do_sample=False,
            eos_token_id=sorted(self._stops) or None,
            pad_token_id=PAD,
        )
        processors = LogitsProcessorList([lambda _, scores: noise(scores, numbers)])
        with torch.inference_mode():
            output = self._loaded.inner.generate(
                input_ids=ids, attention_mask=mask, generation_config=settings, logits_processor=processors
            )
        new = output[:, longest:].tolist()
        return [self._until_stop(row) for row in new]

    def _of_one_length(self, rows: list[list[int]], generation: Generation, texts: list[str]) -> list[list[int]]:
        """The same, only rows of one length together, for architectures that padding disturbs."""
        new: list[list[int]] = [[] for _ in rows]
        for length in {len(row) for row in rows}:
            numbers = [number for number, row in enumerate(rows) if len(row) == length]
            part = self._padded([rows[n] for n in numbers], generation, [texts[n] for n in numbers])
            for number, row in zip(numbers, part, strict=True):
                new[number] = row
        return new

    def _until_stop(self, row: list[int]) -> list[int]:
        end = next((i for i, token in enumerate(row) if token in self._stops), len(row) - 1)
        return row[: end + 1]

    def _completion(self, prompt: Prompt, row: list[int], sample: int) -> Completion:
        stopped = bool(row) and row[-1] in self._stops
        tokens = row[:-1] if stopped else row
        text = self._loaded.tokenizer.decode(tokens, skip_special_tokens=True)
        return Completion(self._loaded.name, prompt.id, sample, text, len(tokens), "stop" if stopped else "length")

    def _choice(self, prompt: Prompt, found: tuple[float, ...]) -> Completion:
        text = prompt.choices[found.index(max(found))]
        return Completion(self._loaded.name, prompt.id, 0, text, 0, "stop", found)


def _noise(texts: list[str], generation: Generation) -> Callable[[Any, list[int]], Any]:
    """What turns logits of some rows into scores whose argmax is the next token.

    Greedy decoding leaves them as they are. Sampling is the Gumbel-max trick: the argmax of logits / temperature +
    Gumbel noise is a sample of the softmax. Each prompt has a random stream of its own, so that a sample depends on
    neither batch nor order.
    """
    import torch

    if not generation.temperature:
        return lambda logits, _: logits
    streams = [torch.Generator().manual_seed(int(digest(str(generation.seed), text)[:15], 16)) for text in texts]

    def noisy(logits: Any, numbers: list[int]) -> Any:
        uniform = torch.stack([torch.rand(logits.shape[-1], generator=streams[number]) for number in numbers])
        gumbel = -torch.log(-torch.log(uniform.clamp(1e-20, 1 - 1e-7)))
        return logits.float() / generation.temperature + gumbel.to(logits.device)

    return noisy
