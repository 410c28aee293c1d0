"""What the store costs: synthetic score records written, found again by name, and read one after another.

    python benchmarks/store.py [--records 1000000] [--together 8192] [--folder FOLDER]

Prints records per CPU-second and per second of each, the size on the disk, and the most memory that reading took. The
names are digests in random order, as those of texts are.
"""

import argparse
import os
import random
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from hashlib import sha256
from itertools import islice
from pathlib import Path

from toxaudit.scorers.base import BY_RULE
from toxaudit.store.identities import Scores
from toxaudit.store.shelves import Store


def main() -> None:
    """Run the benchmark, whose parts are processes of their own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--together", type=int, default=BY_RULE)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        for part in (_write, _open, _find, _read):
            sys.stdout.flush()
            child = os.fork()
            if not child:
                _timed(part, Path(folder), options.records, options.together)
                os._exit(0)
            assert os.waitpid(child, 0)[1] == 0
        size = sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file())
        print(f"on the disk: {size / 1e6:.0f} MB, {size / options.records:.0f} bytes a record")


def _timed(part, folder: Path, records: int, together: int) -> None:  # type: ignore[no-untyped-def]
    cpu, clock = time.process_time(), time.monotonic()
    count = part(folder, records, together)
    cpu, clock = time.process_time() - cpu - making[0], time.monotonic() - clock - making[1]
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
    rate = f"{count / cpu:>9,.0f} a CPU-second, {count / clock:>9,.0f} a second; " if count else ""
    print(f"{part.__doc__:<36} {rate}{cpu:.2f} CPU-s, {clock:.2f} s, at most {memory:.0f} MB", flush=True)


def _records(number: int) -> Iterator[tuple[str, dict[str, float | None]]]:
    draw = random.Random(0)
    for each in range(number):
        yield sha256(str(each).encode()).hexdigest(), {"value": round(draw.random(), 6), "missing": None}


making = [0.0, 0.0]
"""CPU-seconds and seconds that went into making synthetic lots of records, which no part's figures contain."""


def _lots(records: int, together: int) -> Iterator[dict[str, dict[str, float | None]]]:
    each = _records(records)
    while True:
        cpu, clock = time.process_time(), time.monotonic()
        lot = dict(islice(each, together))
        making[0] += time.process_time() - cpu
        making[1] += time.monotonic() - clock
        if not lot:
            return
        yield lot


def _write(folder: Path, records: int, together: int) -> int:
    """written"""  # noqa: D403, D415
    store = Store(folder)
    with store.in_use():
        shelf = store.shelf(Scores("synthetic"))
        for lot in _lots(records, together):
            shelf.add(lot)
    return records


def _open(folder: Path, records: int, together: int) -> int:
    """opened, and one found"""  # noqa: D403, D415
    name, value = next(_records(1))
    with Store(folder).in_use():
        assert Store(folder).shelf(Scores("synthetic"))[name] == value
    return 0


def _find(folder: Path, records: int, together: int) -> int:
    """all found by their names"""  # noqa: D403, D415
    assert len(Store(folder).shelf(Scores("synthetic")).found(name for name, _ in _records(records))) == records
    return records


def _read(folder: Path, records: int, together: int) -> int:
    """all read, a few at a time"""  # noqa: D403, D415
    assert sum(1 for _ in Store(folder).shelf(Scores("synthetic")).items()) == records
    return records


if __name__ == "__main__":
    main()
