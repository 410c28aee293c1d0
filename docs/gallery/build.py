"""Put a finished run into the gallery: its whole audit under a heading, its plots made small, and a thumbnail.

    python docs/gallery/build.py runs/NAME

writes ``docs/gallery/NAME/card.md`` and the pictures beside it. What was seen is written by hand in ``NAME.md``, whose
first picture becomes the thumbnail.
"""

import re
import shutil
import sys
from pathlib import Path

from PIL import Image

HERE = Path(__file__).parent
COLOURS, WIDEST, THUMB = (128, 32, 16), 1200, 300
MOST_BYTES = 60_000


def small(image: Image.Image, target: Path, width: int) -> None:
    """A picture of so many pixels at most, with fewer colours and then smaller until it has ``MOST_BYTES`` at most."""
    while True:
        if image.width > width:
            image = image.resize((width, round(image.height * width / image.width)), Image.Resampling.LANCZOS)
        for colours in COLOURS:
            made = image.quantize(colours, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
            made.save(target, optimize=True)
            if target.stat().st_size < MOST_BYTES:
                return
        width = round(image.width * 0.85)


def picture(run: Path, name: str) -> Image.Image:
    """One of a run's plots."""
    return Image.open(run / "toxaudit" / f"{name}.png").convert("RGB")


def main(run: Path) -> None:
    """Take a run's whole audit and its pictures; those of candidates that have cards of their own are left out."""
    folder, page = HERE / run.name, HERE / f"{run.name}.md"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    card = (run / "toxaudit" / "audit.md").read_text(encoding="utf-8")
    names = sorted(set(re.findall(r"\]\(([\w-]+)\.png\)", card)))
    for name in names:
        small(picture(run, name), folder / f"{name}.png", WIDEST)
    heading = f"# The card of {run.name}\n\nWhat it says in short is on [its page](../{page.name}).\n\n"
    (folder / "card.md").write_text(heading + card, encoding="utf-8")
    first = re.search(rf"\]\({run.name}/([\w-]+)\.png\)", page.read_text(encoding="utf-8")) if page.exists() else None
    whole = picture(run, first[1] if first else names[0])
    tallest = whole.width * 2 // 3  # so that no row of the index is tall
    top = whole.crop((0, 0, whole.width, min(whole.height, tallest)))
    small(top, folder / "thumbnail.png", THUMB)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
