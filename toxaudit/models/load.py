"""Pinned files -> a model in memory that is proved to be the one that was named."""

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from toxaudit.checks import Checklist
from toxaudit.errors import ToxauditError
from toxaudit.machine.collecting import uncollected
from toxaudit.machine.memory import memory_free
from toxaudit.models import adapter_file, attach, effect, tokenizer
from toxaudit.models.attach import TakenOff
from toxaudit.models.capacity import check_described, check_memory, memory_needed, weight_sizes
from toxaudit.models.declared import json_object
from toxaudit.models.other_template import OtherTemplate
from toxaudit.models.refusing import refusing
from toxaudit.models.resolve import ResolvedModel

LOADS = "weights and tokenizer can be loaded"

LAID_BY_SHARE = 0.1
"""An adapter may take no more than this share of the memory that is free, to be kept until it is asked for again."""


@dataclass(frozen=True)
class LoadedModel:
    """A model ready to generate.

    Attributes:
        name: the arm's name.
        model: transformers' model, or PEFT's around it, in evaluation mode.
        tokenizer: transformers' tokenizer.
        device: torch's name of the device that holds it.
        ends: the tokens by which the repository's configurations let a text end.
        probed: what ``probe`` gave once its adapter was on; None where it has no adapter.
    """

    name: str
    model: Any
    tokenizer: Any
    device: str
    ends: frozenset[int]
    probed: Any = field(default=None, compare=False, repr=False)

    @property
    def stops(self) -> frozenset[int]:
        """The tokens that end a completion."""
        return tokenizer.stops(self.tokenizer, self.ends)

    @property
    def inner(self) -> Any:
        """Transformers' own model, inside of PEFT's where there is an adapter: what is probed and what generates."""
        return self.model.get_base_model() if hasattr(self.model, "get_base_model") else self.model

    def encode(self, text: str, special: bool = True) -> list[int]:
        """The text's tokens, with those that begin and end every text where ``special``.

        Raises:
            ToxauditError: if the tokenizer fails, or knows a token for which the model has no embedding.
        """
        return tokenizer.encode(self.name, self.tokenizer, text, special, self.known)

    @property
    def known(self) -> int:
        """The number of tokens for which the model has embeddings."""
        return int(self.inner.get_input_embeddings().weight.shape[0])


class Loader:
    """Loads arms one after another: those over the same weights share them, all others are freed first."""

    def __init__(self, device: str) -> None:
        """Load nothing yet; ``device`` is torch's name of where models are to lie."""
        self.device = device
        self._held: LoadedModel | None = None
        self._holds = ""
        self._tokenizers: dict[tuple[Path, OtherTemplate | None], Any] = {}
        self._probes: dict[tuple[Any, ...], Any] = {}  # of the weights in memory
        self._laid_by: dict[str, tuple[LoadedModel, TakenOff]] = {}  # adapters over them, by their arms' identities

    @contextmanager
    def open(
        self, resolved: ResolvedModel, checks: Checklist | None = None, lay_by: bool = False
    ) -> Iterator[LoadedModel]:
        """One arm, checked; an adapter is taken off the shared weights again at the end.

        Args:
            resolved: the arm.
            checks: gets the records of the checks, if anybody wants them.
            lay_by: keep the adapter, as far as there is memory: the next time that nobody wants records, it is put on
                these weights as it is, having been checked.

        Raises:
            ToxauditError: if ``load`` would refuse the arm.
        """
        records = checks or Checklist(resolved.name)
        with records.check(LOADS):
            plain = self._plain(resolved)
        checked = None if checks else self._laid_by.pop(resolved.identity, None)
        modules, before = dict(plain.model.named_modules()), _state(plain.model)
        loaded, passed = plain, False
        try:
            if checked:
                attach.put_back(plain.model, modules, checked[1])
                loaded = replace(checked[0], name=plain.name, tokenizer=plain.tokenizer)
            else:
                loaded = _attached(resolved, plain, records, self._probe)
            yield loaded
            passed = True
        finally:
            taken = attach.take_off(plain.model, modules)
            if _state(plain.model) != before or (resolved.adapter and adapter_file.alters_base(resolved.adapter.path)):
                self.close()
            elif lay_by and passed and taken.modules and taken.size < LAID_BY_SHARE * memory_free(self.device):
                self._laid_by[resolved.identity] = loaded, taken

    def _plain(self, resolved: ResolvedModel) -> LoadedModel:
        """The arm without its adapter, over the weights in memory where these are its own."""
        if self._held is None or self._holds != resolved.loaded_as:
            self.close()
            self._holds = resolved.loaded_as  # of weights that can't be loaded something may be left, too
            self._held = _weights(resolved, self.device)
            self._tokenizers.setdefault(_words(resolved), self._held.tokenizer)
        return replace(self._held, name=resolved.name, tokenizer=self.tokenizer(resolved))

    def _probe(self, plain: LoadedModel) -> Any:
        """``probe`` of the weights in memory, made once for the same tokens and threads: ``open`` leaves them alone."""
        import torch

        asked = (*(tuple(plain.encode(text)) for text in tokenizer.PROBES), torch.get_num_threads())
        if asked not in self._probes:
            self._probes[asked] = probe(plain)
        return self._probes[asked]

    def tokenizer(self, resolved: ResolvedModel) -> Any:
        """The tokenizer that the arm is asked through, which is read once; no weights are loaded for it.

        Raises:
            ToxauditError: if it can't be read or knows no words.
        """
        if (named := _words(resolved)) not in self._tokenizers:
            self._tokenizers[named] = tokenizer.read(resolved)
        return self._tokenizers[named]

    def close(self) -> None:
        """Give the memory back, where any was taken: to look for it takes a third of a second."""
        if not self._holds:
            return
        self._held, self._holds = None, ""
        self._probes.clear()
        self._laid_by.clear()
        gc.collect()
        if self.device != "cpu":
            import torch

            torch.cuda.empty_cache()


def load(resolved: ResolvedModel, device: str) -> LoadedModel:
    """Load weights and adapter anew, and refuse whatever would make the audit score something else.

    Raises:
        ToxauditError: if weights are missing, unexpected or misshapen; if the tokenizer knows no words; if the adapter
            has keys that the model lacks, has values that are not finite, or changes nothing; or if the memory is too
            small.
    """
    return _attached(resolved, _weights(resolved, device), Checklist(resolved.name), probe)


def _words(resolved: ResolvedModel) -> tuple[Path, OtherTemplate | None]:
    """What names the tokenizer that an arm is asked through."""
    return tokenizer.folder_of(resolved), resolved.template


def ends(*configurations: Any) -> frozenset[int]:
    """The tokens by which a repository's configurations let a text end."""
    named = [configuration.eos_token_id for configuration in configurations]
    return frozenset(token for each in named for token in (each if isinstance(each, list) else [each]))


def _weights(resolved: ResolvedModel, device: str) -> LoadedModel:
    """The arm's model without its adapter."""
    with uncollected():  # all that a model's own module imports in turn
        from transformers import GenerationConfig, PreTrainedModel  # noqa: F401

    where = f"{resolved.name}: {resolved.weights.reference}"
    _check_quantisation(resolved, device)
    _check_memory(where, resolved, device)
    with refusing(f"{where} can't be loaded"):
        model, info = _read(resolved, device)
    for problem in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        if keys := sorted(map(str, info[problem])):
            raise ToxauditError(f"{where} has {problem.replace('_', ' ')}, e.g. {keys[0]}.")
    if not resolved.bits:  # what is quantised lies on the device already
        model.to(device)
    with refusing(f"{where} can't be loaded"):
        stated = ends(model.generation_config, model.config)
    model.eval().generation_config = GenerationConfig()  # the repository's decides nothing
    return LoadedModel(resolved.name, model, tokenizer.read(resolved), device, stated)


def _check_memory(where: str, resolved: ResolvedModel, device: str) -> None:
    with refusing(f"{where} can't be loaded", resolved.folder):
        stored = weight_sizes(resolved.folder)
        if resolved.kind != "quantized" and "quantization_config" not in json_object(resolved.folder / "config.json"):
            check_described(resolved.folder, stored, resolved.run_code)
    check_memory(where, memory_needed(stored, resolved.dtype, resolved.bits), device, dtype=resolved.dtype)


def _check_quantisation(resolved: ResolvedModel, device: str) -> None:
    if not resolved.bits:
        return
    where = f"{resolved.name}: load_in_{resolved.bits}bit"
    if not device.startswith("cuda"):
        raise ToxauditError(f"{where} needs a CUDA GPU, and this audit runs on the {device}: leave it out.")
    if not find_spec("bitsandbytes"):
        raise ToxauditError(f"{where} needs bitsandbytes: pip install bitsandbytes.")


def _read(resolved: ResolvedModel, device: str) -> tuple[Any, dict[str, Any]]:
    """The model, and what transformers says of its keys. The attention is named, lest config.json name a download."""
    import torch
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    number_format = getattr(torch, resolved.dtype)
    quantised: dict[str, Any] = {}
    if resolved.bits:
        how = BitsAndBytesConfig(
            load_in_4bit=resolved.bits == 4,
            load_in_8bit=resolved.bits == 8,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_compute_dtype=number_format,
        )
        quantised = {"quantization_config": how, "device_map": {"": device}}

    def read(attention: str) -> tuple[Any, dict[str, Any]]:
        found: tuple[Any, dict[str, Any]] = AutoModelForCausalLM.from_pretrained(
            resolved.folder,
            dtype=number_format,
            use_safetensors=True,
            trust_remote_code=resolved.run_code,
            attn_implementation=attention,
            ignore_mismatched_sizes=True,  # they are told of by name, and refused above
            output_loading_info=True,
            **quantised,
        )
        return found

    try:
        return read("sdpa")
    except ValueError as error:
        if "scaled_dot_product_attention" not in str(error):
            raise
        return read("eager")  # e.g. Gemma 2, whose attention is more than SDPA does


def _state(model: Any) -> tuple[list[Any], dict[str, Any]]:
    """What changes when a model's weights are exchanged, or its configuration is."""
    weights = [(name, weight.data_ptr(), weight._version) for name, weight in model.named_parameters()]
    return weights, model.config.to_dict()


def _attached(
    resolved: ResolvedModel, plain: LoadedModel, checks: Checklist, probe_plain: Callable[[LoadedModel], Any]
) -> LoadedModel:
    """The arm with its adapter, if it has one, on the model: its file is checked before, its effect after."""
    import torch

    if resolved.adapter is None:
        return plain
    folder, where = resolved.adapter.path, f"{resolved.name}: {resolved.adapter.reference}"
    adapter_file.check(where, folder, [name for name, _ in plain.model.named_modules()], checks)
    with checks.check("the adapter fits the model"):
        before = probe_plain(plain)
        with refusing(f"{where} does not fit the base"):
            adapted = replace(plain, model=attach.put_on(plain.model, folder, plain.device))
        attach.check_keys(where, folder, adapted.model)
        after = probe(adapted)
    nothing = ToxauditError(f"{where} changes nothing: the base answers alike with and without it.")
    effect.require(checks, "logits with and without the adapter", [torch.equal(before, after)], nothing)
    with checks.check("outputs with the adapter are finite"):
        if not torch.isfinite(after).all():
            raise ToxauditError(f"{where} makes the model's outputs infinite or not a number.")
    return replace(adapted, probed=after)


def probe(loaded: LoadedModel) -> Any:
    """The logits of two short texts, read as one: (tokens, vocabulary), on the CPU.

    Raises:
        ToxauditError: if the model can't read them.
    """
    import torch

    row = [token for text in tokenizer.PROBES for token in loaded.encode(text)]
    with refusing(f"{loaded.name} can't read a text"), torch.inference_mode():
        return loaded.inner(input_ids=torch.tensor([row], device=loaded.device)).logits[0].cpu()
