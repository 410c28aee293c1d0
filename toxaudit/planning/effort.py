"""How long a run takes and how much memory it holds, told from what it computes and from how fast this machine is.

The constants without a reason beside them were measured: benchmarks/README.md, "The plan's estimate".
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import starmap
from math import sqrt

from toxaudit import training
from toxaudit.backends import served_again
from toxaudit.backends.decoding.adapters import LEAST
from toxaudit.backends.served_preflight import PROBE
from toxaudit.backends.transformers import MOST_ROWS
from toxaudit.backends.vllm import Vllm
from toxaudit.machine.packed import FREE_MEMORY_SHARE
from toxaudit.machine.speed import Speed
from toxaudit.models.capacity import BYTES_OF_NUMBER, WeightSizes
from toxaudit.planning import tuning
from toxaudit.planning.expected import Prospect
from toxaudit.planning.served_speed import ServedSpeed
from toxaudit.planning.tuning import LETTERS_A_TOKEN
from toxaudit.records import Prompt
from toxaudit.spec.recipes import AUTO, TrainingStage
from toxaudit.spec.schema import AuditSpec

UNREAD_TOKENS = 20
"""Tokens of a prompt, or of a choice, that is still to be fetched."""

TUNING_SPEED_SHARE, DECODING_SPEED_SHARE, CLASSIFYING_SPEED_SHARE = 0.52, 0.72, 0.6
"""Shares of a CPU's speed in matrix products that are reached by tuning, generating and classifying."""

GPU_FLOPS = 5e12
"""Operations a second of a GPU, which is far from busy; not measured here."""

IMPORTING_SECONDS, GGUF_CONVERSION_SECONDS, CHECKING_SECONDS = 5.0, 21.0, 1.5
"""Seconds: imports; making a GGUF file safetensors; loading a model and looking at it."""

OPENING_SECONDS, PROBING_SECONDS = 4.0, 1.7
"""Seconds until models can generate: for each set of weights; for each model, which answers two probes alone first."""

SCORING_SECONDS = {"jigsaw_bilstm": 2e-3, "wrong_language": 1e-3}
"""Seconds for a text by the kinds of scorers that take any time and whose size no file tells."""

FIRST_FIT_SECONDS, FIT_SECONDS, WRITING_SECONDS = 7.0, 0.5, 4.0
"""Seconds: until the first hierarchical fit begins; each; card, plots and report."""

JUDGE_QUESTION_TOKENS = 200
"""Tokens that a judge reads besides prompt and completion."""

LIBRARY_BYTES = {"cpu": 1.0e9, "cuda": 0.6e9}
"""Bytes that are taken without any model: of the process, or of the GPU."""

AGAIN = 2 * (served_again.FIRST + served_again.FEWEST_TURNS)
"""Answers that base and candidate are asked for again, where the first prompts are answered differently."""

MOST_COUNTED = 10**6
"""Of anything that a configuration counts: one with more is broken."""


@dataclass(frozen=True)
class Questions:
    """What each arm is asked of a suite.

    Attributes:
        suite: its name.
        prompts: how many.
        answers: how many to them all.
        read: tokens that are read for all answers: the prompts, and what may be chosen.
        written: tokens of all answers, at most.
        longest: tokens of the longest prompt with its answer.
    """

    suite: str
    prompts: int
    answers: int
    read: float
    written: float
    longest: float


def questions(spec: AuditSpec, name: str, prompts: Sequence[Prompt] | int) -> Questions:
    """Of a suite whose prompts are known, or only their number."""
    choices, limit = spec.suites[name].choices, spec.generation.max_new_tokens
    if isinstance(prompts, int):
        lengths = [UNREAD_TOKENS * (3.0 if choices else 1.0)] * prompts
    else:
        lengths = [(len(each.text) + sum(map(len, each.choices))) / LETTERS_A_TOKEN for each in prompts]
    samples, most = (1, 0) if choices else (spec.generation.samples, limit)
    n = len(lengths)
    return Questions(
        suite=name,
        prompts=n,
        answers=n * samples,
        read=sum(lengths) * samples,
        written=n * samples * most,
        longest=max(lengths, default=0) + most,
    )


class Effort:
    """What one spec costs on this machine, as far as the sizes of its models are known."""

    def __init__(
        self, spec: AuditSpec, prospect: Prospect, cpu: Speed | None, served: ServedSpeed | None = None
    ) -> None:
        """Take what is known.

        Args:
            spec: composed and checked.
            prospect: of its files.
            cpu: this machine's speed, where models run on its CPU.
            served: the speed of a server that answers, where that is known.
        """
        self._spec, self._prospect, self._cpu, self.served = spec, prospect, cpu, served
        self._on = "cpu" if cpu else "cuda"
        self._arms = ["base", *spec.candidates]

    def seconds(self, asked: Sequence[Questions]) -> dict[str, float]:
        """What is done -> how long it takes, in the order of a run."""
        return {
            "preparing": self._preparing(),
            "tuning": sum(starmap(self._tuning, self._stages)),
            "generating": self.generating(asked),
            "scoring": self.scoring(asked),
            "estimating": self._estimating(asked),
        }

    def generating(self, asked: Sequence[Questions]) -> float:
        """Of all arms of known size; none where vLLM answers, whose speed is not known."""
        if isinstance(self._spec.backend, Vllm):
            return 0.0
        if self.served:
            return self._served(asked, self.served)
        tokens = sum(each.read + each.written for each in asked)
        sharing = Counter(map(self._prospect.weights_of, self._arms))  # answer in one batch
        total = sum(OPENING_SECONDS for weights in sharing if self._parameters(weights))
        for arm in self._arms:
            weights = self._prospect.weights_of(arm)
            if parameters := self._parameters(weights):
                rows = min(self._rows(arm), sharing[weights] * sum(each.answers for each in asked))
                total += PROBING_SECONDS + tokens * self._token(parameters, rows)
        return total

    def _served(self, asked: Sequence[Questions], speed: ServedSpeed) -> float:
        """By a server; one that tells no likelihoods is asked again, lest base and candidate be one model."""
        own = sum(not each.control for each in self._spec.candidates.values())
        total = len(self._arms) * speed.answer(PROBE.max_new_tokens)
        for each in asked:
            answer = speed.answer(each.written / max(1, each.answers))
            total += len(self._arms) * each.answers * answer
        if asked and not speed.tells:
            total += own * AGAIN * speed.answer(self._spec.generation.max_new_tokens)
        return total

    def scoring(self, asked: Sequence[Questions]) -> float:
        """Of all scorers but those that a server answers."""
        return sum(
            len(self._arms) * self._scored(name, each)
            for each in asked
            for name in self._spec.suites[each.suite].scorers
        )

    def memory(self, asked: Sequence[Questions]) -> int | None:
        """The most bytes that are held at once: of the GPU, or by the process where it runs on the CPU.

        None where no model's size is known, not even a scorer's. What vLLM takes is not reckoned.
        """
        needed = self._prospect.needed()
        sized = [sizes.parameters for sizes in self.scorers.values() if sizes]
        if not needed and not sized:
            return None
        # room for copies of the weights, laid out for the CPU
        room = FREE_MEMORY_SHARE * (self._prospect.free or 0) if self._cpu else 0
        held = {arm: weights + (weights if weights <= room else 0) for arm, weights in needed.items()}
        answering = max((weights + self._cache(arm, asked) for arm, weights in held.items()), default=0.0)
        weights = max(needed.values(), default=0)
        scoring = weights + max(sized, default=0) * BYTES_OF_NUMBER["float32"] * (2 if self._cpu else 1)
        tuned = max(starmap(self._tuned_in, self._stages), default=0.0)  # of which little is given back later
        return round(LIBRARY_BYTES[self._on] + max(tuned, self._merged_in()) + max(answering, scoring))

    def _preparing(self) -> float:
        own = [arm for arm in self._arms if self._prospect.sizes.get(arm)]
        converted = sum(self._prospect.is_gguf(arm) for arm in own)
        looked_at = sum(not each.control for each in self._spec.candidates.values()) + 1
        return IMPORTING_SECONDS + GGUF_CONVERSION_SECONDS * converted + CHECKING_SECONDS * looked_at * bool(own)

    def _tuning(self, place: str, stage: TrainingStage) -> float:
        """Two operations a parameter and token on the way forward, four on the way back."""
        tokens = tuning.tokens(stage, self.lengths[place])
        return 6 * self._parameters("base") * tokens / self._speed(self._tuned_as(stage), TUNING_SPEED_SHARE)

    def _tuned_as(self, stage: TrainingStage) -> str:
        """The number format that a stage computes in."""
        fast = self._cpu is None or self._cpu.of("bfloat16") > self._cpu.of("float32")
        return stage.precision if stage.precision != AUTO else "bfloat16" if fast else "float32"

    def _tuned_in(self, place: str, stage: TrainingStage) -> float:
        """Bytes that a stage holds at once."""
        return tuning.memory(stage, self._parameters("base"), self._tuned_as(stage), self.lengths[place])

    def _merged_in(self) -> float:
        """Bytes that merging holds at once: all weights as they are computed; 0 where no candidate needs it."""
        candidates = self._spec.candidates
        if any(each.merge or training.merges(candidates, name) for name, each in candidates.items()):
            return float(BYTES_OF_NUMBER["float32"] * self._parameters("base"))
        return 0.0

    @cached_property
    def lengths(self) -> dict[str, list[float]]:
        """Where a stage that is tuned stands -> the tokens of each of its examples, as far as they are known.

        Raises:
            ToxauditError: if the rows are here and can't be read, or what is said of them fits no rows.
        """
        return {place: tuning.lengths(place, stage) for place, stage in self._stages}

    @cached_property
    def _stages(self) -> list[tuple[str, TrainingStage]]:
        """Every stage that is tuned and where it stands; those that others start from count once."""
        return [
            (f"candidates.{name}.train[{number}]", stage)
            for name, each in self._spec.candidates.items()
            for number, stage in enumerate(each.train)
        ]

    def _token(self, parameters: int, rows: int) -> float:
        """Seconds for a token of one row among several: two operations a parameter, and as for ``LEAST`` rows."""
        return max(1, LEAST / max(1, rows)) * 2 * parameters / self._speed(self._prospect.dtype, DECODING_SPEED_SHARE)

    def _scored(self, name: str, asked: Questions) -> float:
        """Seconds for one arm's answers to a suite."""
        scorer, answer = self._spec.scorers[name], asked.written / max(1, asked.answers)
        if scorer.kind in SCORING_SECONDS:
            return asked.answers * SCORING_SECONDS[scorer.kind]
        if not (sizes := self.scorers.get(name)):
            return 0.0
        judge = scorer.local_judge()
        if judge is None:
            reached = self._speed(getattr(scorer, "dtype", "float32"), CLASSIFYING_SPEED_SHARE)
            return 2 * sizes.parameters * asked.written / reached
        tokens: float = JUDGE_QUESTION_TOKENS + asked.read / max(1, asked.answers) + answer + judge.max_new_tokens
        return asked.answers * tokens * self._token(sizes.parameters, scorer.together)

    @cached_property
    def scorers(self) -> dict[str, WeightSizes | None]:
        """The scorers that are models on this machine -> how large they are, where that can be told."""
        known = {
            name: self._prospect.known.get(f"scorers.{name}.pretrained")
            for name, scorer in self._spec.scorers.items()
            if scorer.kind in ("classifier", "judge")
        }
        return {name: each.sizes(None) for name, each in known.items() if each}

    def _estimating(self, asked: Sequence[Questions]) -> float:
        kinds = {bool(each.control or each.expect) for each in self._spec.candidates.values()}  # fitted apart
        fits = len(kinds) * sum(len(self._spec.suites[each.suite].scorers) for each in asked)
        hierarchical = any(each.kind.startswith("hier") for each in self._spec.estimators.values())
        return WRITING_SECONDS + (FIRST_FIT_SECONDS + FIT_SECONDS * fits if hierarchical else 0.0)

    def _cache(self, arm: str, asked: Sequence[Questions]) -> float:
        """Bytes of the keys and values of the rows that are decoded together."""
        longest = max((each.longest for each in asked), default=0)
        answers = len(self._arms) * max((each.answers for each in asked), default=0)
        rows = min(self._rows("base"), answers)
        numbers = _cached(self._prospect.config(arm)) or sqrt(self._parameters(arm))  # which is near
        return numbers * longest * rows * BYTES_OF_NUMBER[self._prospect.dtype]

    def _rows(self, arm: str) -> int:
        """Rows that are decoded together."""
        if arm != "base" and self._spec.candidates[arm].control:
            return self._spec.candidates[arm].batch_size or 1
        size = self._spec.backend.batch_size
        return size if isinstance(size, int) else MOST_ROWS[self._on]

    def _parameters(self, arm: str) -> int:
        sizes = self._prospect.sizes.get(arm)
        return sizes.parameters if sizes else 0

    def _speed(self, dtype: str, share: float) -> float:
        return self._cpu.of(dtype) * share if self._cpu else GPU_FLOPS


def _cached(config: Mapping[str, object]) -> float | None:
    """How many numbers, in keys and values, a model keeps of each token, where its configuration tells."""
    inner = config.get("text_config")
    told = inner if isinstance(inner, dict) else config
    keys = "num_hidden_layers", "num_attention_heads", "hidden_size", "num_key_value_heads", "head_dim"
    layers, heads, width, shared, size = (
        number if isinstance(number := told.get(key), int) and 0 < number < MOST_COUNTED else 0 for key in keys
    )
    return 2 * layers * (shared or heads) * (size or width / heads) if layers and heads and width else None
