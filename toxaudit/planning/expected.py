"""What can be known of the files a run needs: which are here, which are to be fetched, how large the models are."""

import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.metadata import version
from pathlib import Path

from toxaudit.errors import ToxauditError
from toxaudit.machine.memory import gpu_free, memory_free
from toxaudit.models import number_format
from toxaudit.models.capacity import WeightSizes, memory_needed, stored_in, weight_sizes
from toxaudit.models.declared import json_object
from toxaudit.models.number_format import NumberFormat
from toxaudit.models.within import check_adapter, is_adapter
from toxaudit.pinning.references import Reference, references
from toxaudit.planning.inquiry import Inquiry
from toxaudit.sources import HubSource, LocalSource, RepositoryFacts, Source, WebSource
from toxaudit.sources.base import wanted
from toxaudit.sources.package import PackageSource
from toxaudit.spec.schema import SKIP, AuditSpec, WeightsSpec

COUNT = re.compile(r"(?<![0-9a-z.])([0-9]+(?:\.[0-9]+)?)([mb])(?![a-z0-9])", re.IGNORECASE)
"""How a model's name tells its parameters: 135M, 8B."""

STORED_AS_USED = {"4-bit", "8-bit"}
"""Tags of repositories whose weights are quantised, and stay so in memory."""


@dataclass(frozen=True)
class Known:
    """What is known of the files that a field of the spec names.

    Attributes:
        source: what the field names.
        patterns: the files that are fetched.
        path: the file or folder on this machine, where all of them are here.
        facts: what the Hub says, if it was asked and answered.
        problem: the sentence that says why they can't be had, if so.
    """

    source: Source
    patterns: tuple[str, ...] = ()
    path: Path | None = None
    facts: RepositoryFacts | None = None
    problem: str | None = None

    @property
    def commit(self) -> str | None:
        """The Hub commit, as far as it is known."""
        if self.facts:
            return self.facts.commit
        return self.source.commit_of(self.path) if self.path and isinstance(self.source, HubSource) else None

    @property
    def to_fetch(self) -> int | None:
        """Bytes to be fetched; None where that is unknown."""
        if self.path:
            return 0
        if self.facts is None:
            return None
        return sum(size for name, size in self.facts.sizes.items() if wanted(name, self.patterns))

    @cached_property
    def files(self) -> set[str] | None:
        """The names of its files, without those in folders."""
        if self.path:
            return {file.name for file in self.path.iterdir()} if self.path.is_dir() else {self.path.name}
        return {name for name in self.facts.sizes if "/" not in name} if self.facts else None

    @property
    def is_adapter(self) -> bool:
        """Whether it is known to be a LoRA adapter, and no whole model."""
        return self.files is not None and is_adapter(self.files)

    def form(self, gguf_file: str | None) -> str | None:
        """In words, what is special in a model's files."""
        if self.is_adapter:
            return "adapter"
        if gguf_file or self.source.shown.endswith(".gguf"):
            return "GGUF"
        none = self.files and not any(wanted(name, ("*.safetensors",)) for name in self.files)
        return "holds no *.safetensors" if none else None

    def sizes(self, gguf_file: str | None) -> WeightSizes | None:
        """How large a model's weights are, where that can be told.

        Raises:
            ToxauditError: if the files on this machine are broken.
        """
        if self.path:
            path = self.path / gguf_file if gguf_file else self.path
            try:
                return weight_sizes(path)
            except ToxauditError as error:  # in the words by which a card may name it
                raise ToxauditError(str(error).replace(str(self.path), self.source.shown)) from error
        if not self.facts or not self.facts.parameters:
            return self._by_name()
        n = self.facts.parameters
        weights = sum(size for name, size in self.facts.sizes.items() if wanted(name, ("*.safetensors",)))
        its_own = stored_in(self.facts.kinds)
        if STORED_AS_USED & set(self.facts.tags):
            return WeightSizes(n, weights, loaded=0, matrices=0, fixed=weights, stored_in=its_own)
        return WeightSizes(n, weights, loaded=n, matrices=n, stored_in=its_own)

    def _by_name(self) -> WeightSizes | None:
        told = COUNT.search(re.split(r"[/#]", self.source.shown)[-1])
        if self.problem or not told:
            return None
        n = round(float(told[1]) * {"m": 1e6, "b": 1e9}[told[2].lower()])
        return WeightSizes(n, stored=0, loaded=n, matrices=n)


class Prospect:
    """What can be known of a spec's files before any is fetched. Begins to ask the Hub at once."""

    def __init__(self, spec: AuditSpec) -> None:
        """Begin; ``known`` is there after ``wait``.

        Raises:
            ToxauditError: if a field names nothing that can be fetched, or a path that isn't there.
        """
        self.spec = spec
        self.device = likely_device(spec)
        self._skipping = spec.on_candidate_error == SKIP
        self.known: dict[str, Known] = {}
        self.problems: list[str] = []
        self.refused: set[str] = set()
        self._references: dict[str, tuple[Reference, Source]] = {}
        for each in references(spec):
            try:
                source = each.source
                if isinstance(source, LocalSource) and not source.cached():
                    source.fetch()  # raises the sentence
                self._references[each.key] = each, source
            except ToxauditError as error:
                self._refuse(each, error)
        self.inquiry = Inquiry(source for _, source in self._references.values())

    def wait(self) -> None:
        """Wait for the Hub's answers, as long as the inquiry does, and look at what is on this machine.

        Raises:
            ToxauditError: if the files of a model on this machine are broken, or what is named as an adapter is none.
        """
        self.inquiry.wait()
        self.problems += self.inquiry.problems
        for key, (reference, source) in self._references.items():
            facts = self.inquiry.facts(source)
            pinned = replace(source, revision=facts.commit) if facts and isinstance(source, HubSource) else source
            path, problem = on_this_machine(pinned, reference.patterns), self.inquiry.problem(source)
            self.known[key] = known = Known(source, reference.patterns, path, facts, problem)
            if reference.named.field == "peft" and known.files is not None:
                try:
                    check_adapter(reference.place, source, known.files)
                except ToxauditError as error:
                    self._refuse(reference, error)
        self.sizes = dict(self._sizes())

    def refuse(self, candidate: str | None, error: ToxauditError) -> None:
        """Take in that a candidate can't be audited, where it may be left out; raise the sentence where nothing may."""
        if candidate is None or not self._skipping:
            raise error
        self.refused.add(candidate)
        self.problems.append(str(error))

    def _refuse(self, reference: Reference, error: ToxauditError) -> None:
        self.refuse(reference.candidate, error)

    def weights_of(self, arm: str) -> str:
        """The arm whose weights an arm runs on: its own, or the base's where it is an adapter, a recipe or a control.

        Args:
            arm: ``base`` or a candidate's name.
        """
        if arm == "base" or not self.spec.candidates[arm].pretrained:
            return "base"
        known = self.known.get(f"candidates.{arm}.pretrained")
        return "base" if known and known.is_adapter else arm

    def _sizes(self) -> Iterator[tuple[str, WeightSizes | None]]:
        """Each arm that has weights of its own."""
        for arm in ("base", *self.spec.candidates):
            if self.weights_of(arm) != arm:
                continue
            key = self._key(arm)
            known = self.known.get(key)
            try:
                yield arm, known.sizes(self._weights(arm).gguf_file) if known else None
            except ToxauditError as error:
                self._refuse(self._references[key][0], error)
                yield arm, None

    @staticmethod
    def _key(arm: str) -> str:
        return "base.pretrained" if arm == "base" else f"candidates.{arm}.pretrained"

    def _weights(self, arm: str) -> WeightsSpec:
        return self.spec.base if arm == "base" else self.spec.candidates[arm]

    @property
    def of_unknown_size(self) -> list[str]:
        """The models whose size can't be told."""
        return [arm for arm, sizes in self.sizes.items() if sizes is None]

    @property
    def dtype(self) -> str:
        """Torch's name of the number format of the models, as far as it can be told."""
        return self.computed.name

    @cached_property
    def computed(self) -> NumberFormat:
        """The number format of the models, which is that of the base, and what is to be said of it.

        Raises:
            ToxauditError: if there is none of the name that the spec gives.
        """
        wanted, key = self.spec.base.dtype, self._key("base")
        here = key in self.known and self.known[key].path is not None
        its_own = self._own_format(here)
        found = number_format.chosen(wanted, its_own, self.device)
        if its_own or here or wanted != number_format.AUTO:
            return found
        return replace(found, why="unless its files, which are not here yet, name another one")

    def _own_format(self, here: bool) -> str | None:
        """The base's own number format, as far as it can be told; None where its weights are quantised, too."""
        sizes = self.sizes.get("base")
        stored = sizes.stored_in if sizes else None
        if self.is_gguf("base"):
            return stored if here else None  # what the Hub counts are other files
        return number_format.configured(self.config("base")) or stored

    def is_gguf(self, arm: str) -> bool:
        """Whether an arm's own weights are a GGUF file."""
        known = self.known.get(self._key(arm))
        return known is not None and known.form(self._weights(arm).gguf_file) == "GGUF"

    def config(self, arm: str) -> dict[str, object]:
        """The configuration beside an arm's own weights; empty where none is on this machine."""
        known = self.known.get(self._key(arm))
        return json_object(known.path / "config.json") if known and known.path and known.path.is_dir() else {}

    @property
    def sized_by_name(self) -> list[str]:
        """The models whose size only their names tell."""
        return [
            arm
            for arm, sizes in self.sizes.items()
            if sizes and not sizes.stored and not self.known[self._key(arm)].path
        ]

    def needed(self) -> dict[str, int]:
        """The models whose size is known -> the bytes that their weights need; one model is loaded at a time.

        Raises:
            ToxauditError: if the base's dtype is unknown.
        """
        needed = {}
        for arm, sizes in self.sizes.items():
            weights = self._weights(arm)
            bits = 4 if weights.load_in_4bit else 8 if weights.load_in_8bit else None
            if sizes:
                needed[arm] = memory_needed(sizes, self.dtype, bits)
        return needed

    @cached_property
    def free(self) -> int | None:
        """The bytes that are free, where that can be told."""
        return gpu_free(self.device) if self.device.startswith("cuda") else memory_free(self.device)


def on_this_machine(source: Source, patterns: tuple[str, ...]) -> Path | None:
    """Where the files lie, if all that ``patterns`` name are here; the Hub is not asked."""
    if isinstance(source, HubSource):
        return source.snapshot(patterns)
    assert isinstance(source, LocalSource | PackageSource | WebSource)
    return source.path if source.cached() else None


def likely_device(spec: AuditSpec) -> str:
    """The device that a run would choose, told without torch, whose import takes longer than all else."""
    chosen = spec.executor.device
    if chosen != "auto":
        return chosen
    return "cuda" if shutil.which("nvidia-smi") and not version("torch").endswith("+cpu") else "cpu"


def threads(spec: AuditSpec) -> int | None:
    """The threads that a run is told to use on a CPU, if it is."""
    variable = os.environ.get("OMP_NUM_THREADS", "")
    return spec.executor.threads or (max(1, int(variable)) if variable.isdigit() else None)
