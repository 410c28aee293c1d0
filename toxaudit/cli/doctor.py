"""``toxaudit doctor``: what a bug report must say of the place where toxaudit runs, on one page, without secrets."""

import os
import platform
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from toxaudit import __version__
from toxaudit.cli.exit_codes import DONE, NOT_WELL
from toxaudit.cli.options import Options
from toxaudit.errors import one_line, visible

DOCTOR = Options(
    "doctor",
    "[--store FOLDER]",
    "Prints one page on where toxaudit runs, to paste into a bug report: versions, device, memory, threads, the Hub, "
    "whether a token is here, the store, free disk, plug-ins and locale. Neither tokens nor values of environment "
    "variables are on it, and your home folder is written ~. The exit code is 1 where something is not well.",
    where="no other words",
    words=0,
)
DOCTOR.value(
    "store", "FOLDER", read=lambda text: Path(text).expanduser(), help="the store to look at (that of TOXAUDIT_HOME)"
)

PACKAGES = (
    *("torch", "transformers", "peft", "accelerate", "huggingface_hub", "datasets", "hydra-core", "omegaconf"),
    *("numpy", "scipy", "pymc", "nutpie", "vllm", "sigstore", "inspect_ai"),
)
"""Those whose versions are told; the last three are optional."""

VARIABLES = re.compile(r"TOXAUDIT_|HF_|OMP_NUM_|MKL_NUM_|CUDA_VIS|NVIDIA_VIS|TRANSFORMERS_|PYTORCH_|(?i:\w*_proxy$)")
"""Environment variables that can matter. Their names alone are told."""

LOCALE = ("LC_ALL", "LC_CTYPE", "LANG")
"""Environment variables whose values are told: they say in which encoding texts are."""

LEAST_FREE = 1_000_000_000
"""Bytes that must be free on a disk."""


@dataclass(frozen=True)
class Finding:
    """A line of the page."""

    about: str
    says: str
    well: bool = True


def doctor(words: Sequence[str]) -> int:
    """Print the page."""
    _, given = DOCTOR.read(words)
    from toxaudit.machine import folders

    store = (given.get("store") or folders.home() / "store").absolute()
    looks: dict[str, Callable[[], Iterator[Finding]]] = {
        "toxaudit": _versions,
        "device": _device,
        "memory": _memory,
        "hub": _hub,
        "store": lambda: _store(store),
        "disk": lambda: _disks(store),
        "plug-ins": _plugins,
        "locale": _locale,
        "environment": _environment,
    }
    bad = []
    for about, look in looks.items():
        for found in _looked(about, look):
            print(f"{found.about:<12} {'' if found.well else 'NOT WELL: '}{_homeless(one_line(found.says))}")
            bad += [] if found.well else [found.about]
    print("", f"Not well: {', '.join(dict.fromkeys(bad))}." if bad else "All is well.", sep="\n")
    return NOT_WELL if bad else DONE


def _looked(about: str, look: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """What there is to say of something; where looking fails, that is what there is to say."""
    try:
        yield from look()
    except Exception as error:
        yield Finding(about, f"it can't be told ({type(error).__name__}: {error})", well=False)


def _homeless(text: str) -> str:
    """A text in which the home folder, whose name is often a person's, is written ~."""
    homes = {str(Path.home()), str(Path.home().resolve())} - {"/"}
    for home in sorted(homes, key=len, reverse=True):
        text = re.sub(rf"{re.escape(home)}(?![\w.-])", "~", text)
    return text


def _versions() -> Iterator[Finding]:
    yield Finding("toxaudit", f"{__version__} in {Path(__file__).parents[1]}")
    yield Finding("python", f"{platform.python_version()} ({platform.python_implementation()}), {platform.platform()}")
    yield Finding("packages", ", ".join(f"{name} {found}" for name in PACKAGES if (found := _version(name))))
    told = requires("toxaudit") if _version("toxaudit") else ()  # a checkout that was not installed tells none
    wanted = [re.split(r"[^\w.-]", line)[0] for line in told or () if "extra ==" not in line]
    if missing := [name for name in wanted if not _version(name)]:
        yield Finding("packages", f"toxaudit needs {', '.join(missing)}: install it again", well=False)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _device() -> Iterator[Finding]:
    from toxaudit.machine.memory import in_words

    import torch  # isort: skip  (what fails of it is what there is to say)

    build = f"CUDA {torch.version.cuda}" if torch.version.cuda else "without CUDA"
    if not torch.cuda.is_available():
        mps = "; MPS is there, by executor.device=mps" if torch.backends.mps.is_available() else ""
        yield Finding("device", f"CPU, {platform.machine()} (torch is built {build}, and sees no GPU){mps}")
    for number in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
        free, whole = torch.cuda.mem_get_info(number)
        name = torch.cuda.get_device_name(number)
        yield Finding("device", f"cuda:{number}, {name}, {in_words(free)} of {in_words(whole)} free ({build})")
    from toxaudit.machine import threads

    yield Finding("threads", f"torch takes {torch.get_num_threads()} of {threads.cores()} cores")


def _memory() -> Iterator[Finding]:
    import psutil

    from toxaudit.machine.memory import in_words, memory_free

    yield Finding("memory", f"{in_words(memory_free('cpu'))} free of {in_words(psutil.virtual_memory().total)}")


def _hub() -> Iterator[Finding]:
    from toxaudit.hub.reaching import reached

    found = reached()
    yield Finding("hub", f"{found.endpoint}: {found.answers}; {found.token}", found.well)


def _store(root: Path) -> Iterator[Finding]:
    from toxaudit.machine.memory import in_words
    from toxaudit.store.looking import looked_at
    from toxaudit.store.opening import FORMAT
    from toxaudit.store.shelves import RECORDS

    seen = looked_at(root, root / RECORDS)
    if seen is None:
        yield Finding("store", f"{root} is not there yet: the first audit makes it")
    elif seen.wrong:
        yield Finding("store", f"{root}, {in_words(seen.size)}: {seen.wrong}", well=False)
    else:
        held = f"{root}, {in_words(seen.size)}, format {FORMAT}, {seen.records:,} records, healthy"
        yield Finding("store", f"{held}{f'; {seen.note}' * bool(seen.note)}")


def _disks(store: Path) -> Iterator[Finding]:
    from huggingface_hub import constants

    from toxaudit.machine.memory import in_words

    places = {"the store": store, "the Hub cache": Path(constants.HF_HUB_CACHE), "this folder": Path.cwd()}
    for what, place in places.items():
        there = next(folder for folder in (place.absolute(), *place.absolute().parents) if folder.exists())
        free = shutil.disk_usage(there).free
        enough = free >= LEAST_FREE
        yield Finding("disk", f"{in_words(free)} free for {what}, {place}{': free some' * (not enough)}", enough)


def _plugins() -> Iterator[Finding]:
    from toxaudit import plugins

    found = plugins.loaded()
    if not found:
        yield Finding("plug-ins", "none is installed")
    for each in found:
        yield Finding("plug-ins", f"{each.name} of {each.origin} {each.told}", well=not each.refusal)


def _locale() -> Iterator[Finding]:
    names = " ".join(f"{name}={os.environ[name]}" for name in LOCALE if os.environ.get(name))
    files, out = sys.getfilesystemencoding(), getattr(sys.stdout, "encoding", None) or "unknown"
    well = files.lower().replace("-", "") == "utf8"
    said = f"{names or 'not set'}; file names in {files}, output in {out}"
    yield Finding("locale", f"{said}{': set LC_ALL=C.UTF-8' * (not well)}", well)


def _environment() -> Iterator[Finding]:
    names = sorted(visible(name) for name, value in os.environ.items() if VARIABLES.match(name) and value)
    yield Finding("environment", f"{', '.join(names) or 'none'} (set, of those that can matter)")
