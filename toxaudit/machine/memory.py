"""How much memory is free, on a GPU or on this machine, and a number of bytes in words."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

ROOT = Path("/")
"""The folder in which Linux keeps ``proc`` and ``sys``."""

SHORT = (
    "out of memory",
    "allocate memory",
    "not enough memory",
    "bad_alloc",
    "could not create a memory",
    "failed to map segment",  # of a library that is loaded
)
"""What libraries say when memory is short, besides raising a ``MemoryError``."""


def is_short(error: BaseException) -> bool:
    """Whether an error says that memory is short."""
    return isinstance(error, MemoryError) or any(words in str(error).lower() for words in SHORT)


def memory_free(device: str) -> int:
    """Bytes that can still be had: on a GPU its own, else the machine's, or what a container leaves of them."""
    if device.startswith("cuda"):
        import torch

        free: int = torch.cuda.mem_get_info(device)[0]
        return free
    import psutil

    return min([int(psutil.virtual_memory().available), *_cgroups()])


def in_words(size: int) -> str:
    """A number of bytes for people: ``16.1 GB``, ``98 MB``."""
    for unit, name in ((1e9, "GB"), (1e6, "MB")):
        if size >= unit:
            return f"{size / unit:.1f} {name}" if size < 10 * unit or name == "GB" else f"{size / unit:.0f} {name}"
    return f"{-(-size // 1000)} kB"


def _cgroups() -> Iterator[int]:
    """What each control group of this process (containers, batch jobs) leaves of its limit on memory."""
    try:
        lines = (ROOT / "proc/self/cgroup").read_text().splitlines()
    except OSError:  # not Linux
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            top, limit, usage, cache = ROOT / "sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"
        elif "memory" in controllers.split(","):
            top, cache = ROOT / "sys/fs/cgroup/memory", "total_inactive_file"
            limit, usage = "memory.limit_in_bytes", "memory.usage_in_bytes"
        else:
            continue
        group = top / path.strip("/")
        for folder in (group, *(parent for parent in group.parents if parent.is_relative_to(top))):
            try:  # a container doesn't see the groups around it
                most, taken = (folder / limit).read_text().strip(), int((folder / usage).read_text())
                stat = dict(row.split() for row in (folder / "memory.stat").read_text().splitlines())
            except OSError:
                continue
            if most != "max":
                yield max(0, int(most) - taken + int(stat.get(cache, 0)))  # what is read from files makes room


def gpu_free(device: str) -> int | None:
    """A GPU's free bytes by its driver's own tool; None where that can't tell.

    Args:
        device: torch's name of the GPU.
    """
    visible = [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    number = device.partition(":")[2] or "0"
    gpu = dict(enumerate(visible)).get(int(number) if number.isdecimal() else -1, number)
    command = ["nvidia-smi", "--query-gpu=memory.free", "--format=csv,noheader,nounits", "-i", gpu]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=True)
        return int(done.stdout) * 2**20  # it counts in MiB
    except (OSError, ValueError, subprocess.SubprocessError):
        return None
