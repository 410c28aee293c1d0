"""Put a finished run into the gallery: its whole audit, its plots made small, and a thumbnail.

    python docs/gallery/build.py runs/NAME

writes ``docs/gallery/NAME/card.md`` and the pictures beside it. What was seen is written by hand in ``NAME.md``.
"""

import re
import shutil
import sys
from pathlib import Path

from PIL import Image

HERE = Path(__file__).parent
COLOURS, WIDEST, THUMB = (128, 32, 16), 1200, 300
MOST_BYTES = 60_000


def small(source: Path, target: Path, width: int) -> None:
    """A picture of so many pixels at most, with fewer colours and then smaller until it has ``MOST_BYTES`` at most."""
    image = Image.open(source).convert("RGB")
    while True:
        if image.width > width:
            image = image.resize((width, round(image.height * width / image.width)), Image.Resampling.LANCZOS)
        for colours in COLOURS:
            made = image.quantize(colours, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
            made.save(target, optimize=True)
            if target.stat().st_size < MOST_BYTES:
                return
        width = round(image.width * 0.85)


def main(run: Path) -> None:
    """Take a run's whole audit and its pictures; those of candidates that have cards of their own are left out."""
    folder = HERE / run.name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    card = (run / "toxaudit" / "audit.md").read_text(encoding="utf-8")
    for name in sorted(set(re.findall(r"\]\(([\w-]+)\.png\)", card))):
        small(run / "toxaudit" / f"{name}.png", folder / f"{name}.png", WIDEST)
    (folder / "card.md").write_text(card, encoding="utf-8")
    first = next(name for name in ("grid", "forest", "groups") if (folder / f"{name}.png").exists())
    small(run / "toxaudit" / f"{first}.png", folder / "thumbnail.png", THUMB)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
