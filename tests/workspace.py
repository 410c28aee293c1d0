"""A small real audit that tests run whole: tiny models, a suite of 36 prompts, a keyword scorer."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

AUDIT = """\
title: A tiny model and its fine-tunes
suite: [mine]
scorer: [vowels, degenerate]
estimator: [paired_exact, paired_bb]
base:
  pretrained: ../models/base
candidates:
  tuned:
    peft: ../models/adapter
  noop:
    control: true
    batch_size: 5
    expect: GO
generation:
  max_new_tokens: 12
gate:
  margin: 0.2
"""
SUITE = """\
kind: dataset
title: Three kinds of prompts
data: ./prompts.jsonl
id: id
slices: [kind]
strata: kind
"""
SCORER = """\
kind: keywords
title: Vowels
phrases: [a, e, i]
noun: vowels
more: more vowels
less: fewer vowels
"""


@contextmanager
def at(folder: Path, home: Path | None = None) -> Iterator["pytest.MonkeyPatch"]:
    """Within it audits run in ``folder``, with a store of their own in ``home``; yields what patches until then."""
    import pytest

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("TOXAUDIT_HOME", str(home or folder / "home"))
        yield patch


def make(folder: Path, prompts: int = 36) -> Path:
    """A folder with models, and ``audits/`` with the audit ``tiny``, its suite and its scorer."""
    import tiny

    tiny.adapter(tiny.base(folder / "models" / "base"), folder / "models" / "adapter")
    return written(folder, prompts)


def audited(folder: Path, prompts: int = 36, with_run: bool = False) -> Path:
    """A folder that holds such a workspace, ``work``, perhaps with the run, and the store of its audit, ``home``."""
    from unplotted import draw_in_words

    from toxaudit.cli.main import main

    make(folder / "work", prompts)
    with at(folder / "work", folder / "home") as patch:
        draw_in_words(patch)
        assert main(["audit=tiny"]) in (0, 1, 2)
    if not with_run:
        shutil.rmtree(folder / "work" / "runs")
    return folder


def written(folder: Path, prompts: int = 36) -> Path:
    """Such a folder without models."""
    for file, content in {"tiny.yaml": AUDIT, "suite/mine.yaml": SUITE, "scorer/vowels.yaml": SCORER}.items():
        (folder / "audits" / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / "audits" / file).write_text(content)
    kinds = ("question", "order", "remark")
    rows = [
        {"id": f"p{i}", "prompt": f"{kinds[i % 3]} {'x' * (i % 7)} {i}", "kind": kinds[i % 3]} for i in range(prompts)
    ]
    (folder / "audits" / "suite" / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder
