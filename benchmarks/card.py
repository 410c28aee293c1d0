"""What ``toxaudit card RUN`` takes of a finished run, in CPU-seconds of a fresh process, whole and by part: medians.

python benchmarks/card.py RUN [--repeats 5]
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from statistics import median
from typing import Any


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="a finished run, whose card is written anew")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--once", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.once:
        print(json.dumps(parts_of(options.run)))
        return
    told = [_in_a_process(options.run) for _ in range(options.repeats)]
    for name in told[0]:
        values = [each[name] for each in told]
        print(f"{name:<28} {median(values):6.2f} CPU-s  ({min(values):.2f} to {max(values):.2f})")


def _in_a_process(run: Path) -> dict[str, float]:
    words = [sys.executable, __file__, str(run), "--once"]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    parts = json.loads(subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines()[-1])
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {**parts, "in all": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime}


def parts_of(run: Path) -> dict[str, float]:
    """CPU-seconds by part of ``toxaudit card``, of which this process is the first."""
    import toxaudit.card.plots as plots
    import toxaudit.card.section as section
    import toxaudit.stages.rendering as rendering
    from toxaudit.cli.main import main as toxaudit

    spent: dict[str, float] = {}
    inner: list[float] = []

    def timed(module: Any, name: str, part: str) -> None:
        function = getattr(module, name)

        def wrapped(*given: Any, **named: Any) -> Any:
            start = time.process_time()
            inner.append(0.0)
            try:
                return function(*given, **named)
            finally:
                took = time.process_time() - start
                spent[part] = spent.get(part, 0.0) + took - inner.pop()
                if inner:
                    inner[-1] += took

        setattr(module, name, wrapped)

    timed(rendering, "read_with_draws", "reading and checking the run")
    for plot in plots.PLOTS.values():
        timed(plot, "draw", "figures")
    timed(plots.style, "png", "PNG")
    timed(plots.style, "svg", "SVG")
    timed(section, "drawn", "figures")
    for name in ("texts", "render_card", "render_summary", "render_whole", "render_beside", "render_report"):
        timed(section, name, "texts and templates")
    with redirect_stdout(StringIO()):
        toxaudit(["card", str(run)])
    return {**spent, "imports and all else": time.process_time() - sum(spent.values())}


if __name__ == "__main__":
    main()
