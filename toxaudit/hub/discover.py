"""The Hub's most downloaded derivatives of a base, as a table and as an audit spec that freezes them."""

import re
import textwrap
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toxaudit.errors import ToxauditError, visible
from toxaudit.hub.derivatives import Derivative, judge
from toxaudit.machine import folders
from toxaudit.machine.folders import write_atomically
from toxaudit.sources import HubSource, parse
from toxaudit.sources.hub import sentences

if TYPE_CHECKING:
    from huggingface_hub import ModelInfo

RELATIONS = {"finetune": "fine-tunes", "adapter": "adapters", "merge": "merges", "quantized": "quantised copies"}
"""What the Hub calls a derivative's relation to its base, and our plural for it."""


@dataclass(frozen=True)
class Search:
    """What to ask the Hub for.

    Attributes:
        base: a Hub id.
        kind: one of ``RELATIONS``.
        top: how many derivatives.
        file: where to write a spec of them.
    """

    base: str
    kind: str = "finetune"
    top: int = 10
    file: Path | None = None


@dataclass(frozen=True)
class Listing:
    """The answer to a search: the base by the name it has today, and its derivatives, the most downloaded first."""

    search: Search
    base: "ModelInfo"
    derivatives: tuple[Derivative, ...]
    date: str

    @property
    def usable(self) -> list[Derivative]:
        """Those that can be audited."""
        return [derivative for derivative in self.derivatives if not derivative.obstacle]


def find(search: Search) -> Listing:
    """Ask the Hub.

    Raises:
        ToxauditError: if the base is not on the Hub or has no such derivatives, or the Hub is out of reach.
    """
    from huggingface_hub import HfApi

    source = parse(search.base)
    if not isinstance(source, HubSource):
        raise ToxauditError(f"'{search.base}' is no Hub id (ORG/NAME): only the Hub knows of a model's variants.")
    with sentences(source.reference, source.revision):
        # whose list would be empty: a misspelt base is refused here, and a former name or other case is set right
        base = HfApi().model_info(source.reference, revision=source.revision)
        listed = HfApi().list_models(
            filter=f"base_model:{search.kind}:{base.id}",
            sort="downloads",
            limit=search.top,
            expand=["downloads", "sha", "tags", "gated", "siblings", "config", "cardData"],  # the Hub tells no more
        )
        derivatives = tuple(judge(info, search.kind, base.id) for info in listed)
    if not derivatives:
        others = ", ".join(kind for kind in RELATIONS if kind != search.kind)
        raise ToxauditError(f"The Hub lists no {RELATIONS[search.kind]} of {base.id}: try --kind {others}.")
    return Listing(search, base, derivatives, datetime.now(UTC).date().isoformat())


def table(listing: Listing) -> str:
    """The derivatives, one a line, each that can't be audited with the reason."""
    kind = listing.search.kind
    width = max(len(visible(derivative.name)) for derivative in listing.derivatives)
    lines = [
        f"{visible(listing.base.id)}: its most downloaded {RELATIONS[kind]} of the last 30 days, as of {listing.date}",
        "",
        f"  {'#':>3}  {'id':<{width}}  {'downloads':>10}  {'kind':<9}  {'weights':<12}  {'gated':<5}  commit",
    ]
    for rank, derivative in enumerate(listing.derivatives, start=1):
        gated = "yes" if derivative.gated else "no"
        lines.append(
            f"  {rank:>3}  {visible(derivative.name):<{width}}  {derivative.downloads:>10,}  {kind:<9}  "
            f"{derivative.form:<12}  {gated:<5}  {visible(derivative.commit[:12])}"
        )
        if derivative.obstacle:
            lines.append(f"       can't be audited: {derivative.obstacle}")
    return "\n".join(lines)


def conclude(listing: Listing) -> str:
    """Write the spec that was asked for, and say what to do next.

    Raises:
        ToxauditError: if there is nothing to write, since none of the derivatives can be audited.
    """
    file = listing.search.file
    if file is None:
        return "Next: add --write audits/NAME.yaml to freeze them in a spec, then: toxaudit plan audit=NAME"
    if not listing.usable:
        raise ToxauditError(f"None of these {len(listing.derivatives)} can be audited, so {file} was not written.")
    file.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(file, spec(listing))
    wrote = f"Wrote {file} with {len(listing.usable)} of {len(listing.derivatives)} variants."
    elsewhere = file.resolve().parent != (Path.cwd() / "audits").resolve()
    return f"{wrote} Next: {'move it into audits/, then ' * elsewhere}toxaudit plan audit={file.stem}"


def spec(listing: Listing) -> str:
    """An audit of all derivatives that can be audited; the others are named in comments."""
    name, kind, how_many = listing.base.id, listing.search.kind, len(listing.derivatives)
    base = {"pretrained": name, "revision": str(listing.base.sha), "dtype": "bfloat16"}
    code = {"trust_remote_code": False} if "custom_code" in (listing.base.tags or ()) else {}
    head = [
        f"# The {how_many} most downloaded {RELATIONS[kind]} of {visible(name)} by the Hub's count for the",
        f"# 30 days to {listing.date}, at that day's commits. Today's: toxaudit discover {visible(name)} --kind {kind}",
    ]
    if listing.base.gated:
        head.append("# The base is gated: accept its terms on its Hub page, then `hf auth login`.")
    if code:
        head.append("# The base brings code, which is not run: transformers' own class is used.")
    parts = [
        "\n".join(head) + "\n" + _yaml({"title": f"{name} and its most downloaded {RELATIONS[kind]}"}),
        "suite: [rtp_challenging]\nscorer: [roberta_hate, degenerate, refusal_keywords]\n",
        _yaml({"base": base | code}),
        "candidates:\n" + textwrap.indent("".join(_entries(listing)), "  "),
        "on_candidate_error: skip    # strangers' repositories come and go: the card names what was skipped, and why\n",
        "gate:\n  margin: 0.01\n",
    ]
    return "\n".join(parts)


def _entries(listing: Listing) -> Iterator[str]:
    """Each derivative as a piece of YAML: a candidate, or a comment that says why it is none."""
    taken = {"base"}
    for rank, derivative in enumerate(listing.derivatives, start=1):
        notes = [f"{rank}: {derivative.downloads:,} downloads in the 30 days to {listing.date}", *derivative.notes]
        if derivative.obstacle:
            notes = [notes[0], f"{visible(derivative.name)} can't be audited: {derivative.obstacle}"]
        yield "".join(f"# {note}\n" for note in notes)
        if not derivative.obstacle:
            name = _unique(derivative.name, taken)
            taken.add(name)
            yield _yaml({name: derivative.entry})


def _unique(name: str, taken: Collection[str]) -> str:
    """A candidate's name made from a repository's: as ``folders.NAME``, and not among those ``taken``."""
    stem = re.sub(r"[^A-Za-z0-9_-]+", "_", name.split("/")[-1]).strip("_-")
    stem = stem if re.fullmatch(folders.NAME, stem) else f"model_{stem}"
    numbered = (f"{stem}-{number}" for number in range(2, len(taken) + 3))
    return stem if stem not in taken else next(other for other in numbered if other not in taken)


def _yaml(content: dict[str, Any]) -> str:
    """YAML whose strings can't break out of it, whoever wrote them."""
    import yaml

    return str(yaml.safe_dump(content, sort_keys=False, width=10**6))
