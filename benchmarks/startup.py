"""What an audit of a base and four LoRA adapters costs before its first token, by part, in CPU-seconds of one thread.

    python benchmarks/startup.py [--repeats 3] [--dtype bfloat16]

The base is the quickstart's model, the adapters are made at random, the audit is ``quick``, and its store is empty;
what is to be fetched and converted is so before. A part's seconds are none of another part's; imports count where they
happen. Processes with limits, in which tokenizers and templates are tried, count, too.
"""

import argparse
import importlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

PEERS = Path(__file__).parent / "peers"
sys.path.append(str(PEERS))

from measured import cpu  # noqa: E402

ADAPTERS, RANK = 4, 16
PARTS = {
    "tokenizers, templates and words": (
        "toxaudit.models.tokenizer:read toxaudit.models.tokenizer:attempt toxaudit.models.chat_template:attempt "
        "toxaudit.models.preflight:words_of"
    ),
    "weights read": "toxaudit.models.load:_weights",
    "adapters: files checked": "toxaudit.models.adapter_file:check",
    "adapters: put on, keys checked": "toxaudit.models.attach:put_on toxaudit.models.attach:check_keys",
    "probes of what adapters change": "toxaudit.models.load:probe toxaudit.models.preflight:probe",
    "generate for each arm": "toxaudit.backends.decoding.decoder:Expected.__init__",
    "weights packed": "toxaudit.machine.packed:pack",
    "decoding compared with generate": "toxaudit.backends.decoding.decoder:Decoder._wrong",
    "decoding compared with itself": "toxaudit.backends.decoding.decoder:Decoder._is_steady",
}
"""Each part, and the functions that do it."""
AUDITED = "--audited"  # the words that follow are an audit's, which this process does
FIRST_BATCH = "the first batch read"
BEGINNING = "words understood, files found and hashed, imports, all else"


def main() -> None:
    """Make adapters, run the audits, print medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        about = scratch, 40, options.dtype, ADAPTERS, RANK
        made = subprocess.run(
            [sys.executable, str(PEERS / "given.py"), *map(str, about)], check=True, stdout=subprocess.PIPE
        )
        given = json.loads(made.stdout.splitlines()[-1])
        words = ["audit=quick", f"base.pretrained={given['model']}", f"base.dtype={options.dtype}"]
        words += [f"candidates.{name}={folder}" for name, folder in given["adapters"].items()]
        runs = [_run(words, Path(scratch, str(number))) for number in range(options.repeats)]
    print(f"{'CPU-seconds':<60} median  least   most")
    for what in runs[0]:
        found = [each[what] for each in runs]
        print(f"{what:<60} {statistics.median(found):6.2f} {min(found):6.2f} {max(found):6.2f}")


def _run(words: list[str], folder: Path) -> dict[str, float]:
    """CPU-seconds of each part, in a process of its own."""
    command = [sys.executable, __file__, AUDITED, *words, f"store={folder}/store", f"out={folder}/run"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr[-4000:])
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def audited(words: list[str]) -> None:
    """Audit until the first token is there; print the parts as JSON, and end."""
    took, within, since = dict.fromkeys((BEGINNING, *PARTS), 0.0), [BEGINNING], 0.0

    def tick() -> None:
        nonlocal since
        now = cpu()
        took[within[-1]] += now - since
        since = now

    def timed(work: Callable[..., Any], what: str) -> Callable[..., Any]:
        def wrapped(*arguments: Any, **named: Any) -> Any:
            tick()
            within.append(what)
            try:
                return work(*arguments, **named)
            finally:
                tick()
                within.pop()

        return wrapped

    def first(self: Any, tokens: int) -> None:
        before = dict(took)
        tick()
        took[FIRST_BATCH] = took[BEGINNING] - before[BEGINNING]
        took[BEGINNING] = before[BEGINNING]
        print(json.dumps({**took, "in all": sum(took.values())}), flush=True)
        os._exit(0)

    from toxaudit.cli.main import main as toxaudit
    from toxaudit.machine import collecting, progress

    for what, names in PARTS.items():
        for module, _, name in (each.partition(":") for each in names.split()):
            *owners, last = name.split(".")
            with collecting.importing():
                owner = importlib.import_module(module)
            for each in owners:
                owner = getattr(owner, each)
            setattr(owner, last, timed(getattr(owner, last), what))
    progress.Writing.wrote = first  # type: ignore[method-assign]
    sys.exit(toxaudit(words) or "the audit ended before its first token")


if __name__ == "__main__":
    if sys.argv[1:2] == [AUDITED]:
        audited(sys.argv[2:])
    main()
