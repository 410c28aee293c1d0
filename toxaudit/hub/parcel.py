"""What a finished run has for a model's repository, and how it changes the README that is there."""

import difflib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toxaudit.card import plots
from toxaudit.card.readme.front_matter import merge
from toxaudit.card.readme.metadata import hub_id, metadata
from toxaudit.card.readme.splice import splice
from toxaudit.card.section import AUDIT, PLOTS_FOLDER
from toxaudit.commitment import COMMITMENT, file_of
from toxaudit.decision.verdict import of_audit
from toxaudit.errors import ToxauditError, did_you_mean, visible
from toxaudit.findings import AuditResult
from toxaudit.interop import eval_results
from toxaudit.results.files import card_folder
from toxaudit.results.reading import read_samples
from toxaudit.signoff import contents, envelopes, shown, signing
from toxaudit.signoff.decision import DECISION, ENVELOPES, digest

README = "README.md"

PUSHED_FILES = re.compile(
    rf"{re.escape(eval_results.PATH)}|{PLOTS_FOLDER}/(?:(?:{'|'.join(plots.PLOTS)})\.png|audit\.md|results\.json"
    r"|bom\.cdx\.json|commitment\.json|junit\.xml|samples_[A-Za-z0-9_-]+\.jsonl|decision\.json|decision\.intoto\.jsonl)"
)
"""The files that pushes put into a repository beside its README."""

RECORD = (f"{PLOTS_FOLDER}/{DECISION}", f"{PLOTS_FOLDER}/{ENVELOPES}")
"""Where a decision and its signatures lie in a repository."""

COMMITTED = f"{PLOTS_FOLDER}/{COMMITMENT}"
"""Where a commitment lies in a repository."""

_PICTURES = re.compile(rb"\]\((toxaudit/[a-z]+\.png)\)")


@dataclass(frozen=True)
class Push:
    """What is to be pushed, and how.

    Attributes:
        run: the folder of a finished run.
        repository: the id of the model's repository on the Hub.
        candidate: whose card; None where that is clear.
        dry_run: only show what would be sent.
        direct: commit to the main branch, instead of a pull request.
        samples: send the completions, too.
        any_repository: send to a repository of other weights, or of another base, than were audited.
    """

    run: Path
    repository: str
    candidate: str | None = None
    dry_run: bool = False
    direct: bool = False
    samples: bool = False
    any_repository: bool = False


@dataclass(frozen=True)
class Parcel:
    """What a run has for a repository: section, whole card and metadata for its README, and files beside it.

    ``files`` are all that toxaudit keeps there; those that an earlier push left beside them are withdrawn.
    """

    section: bytes
    whole: bytes
    metadata: Mapping[str, Any]
    files: Mapping[str, bytes]
    description: str


def candidate_of(wanted: Push, result: AuditResult) -> str:
    """Whose card it is: the one that was named, the only one, or the one that was read from the repository.

    Raises:
        ToxauditError: if there is none, or several could be meant.
    """
    names = [model.name for model in result.real]
    same = [model.name for model in result.real if hub_id(model.reference, model.revision) == wanted.repository]
    if (chosen := wanted.candidate) and chosen not in names:
        raise ToxauditError(f"{wanted.run} has no card of a candidate '{chosen}'.{did_you_mean(chosen, names)}")
    if not names:
        raise ToxauditError(f"{wanted.run} has no card to push: all of its candidates are controls.")
    for found in ([chosen] if chosen else names, same):
        if len(found) == 1:
            return found[0]
    raise ToxauditError(f"{wanted.run} has cards of several candidates: add --candidate, one of {', '.join(names)}.")


def gather(
    wanted: Push, result: AuditResult, candidate: str, benchmarks: Mapping[str, tuple[str, str]], page: str
) -> Parcel:
    """What there is to send of one candidate.

    Args:
        wanted: what is to be pushed.
        result: what the run found.
        candidate: the candidate's name.
        benchmarks: suite -> id of the dataset and of its task, where it is a benchmark that is registered on the Hub.
        page: where ``results.json`` will be, an address.

    Raises:
        ToxauditError: if the run has no card.
    """
    folder, own = card_folder(wanted.run, result, candidate), result.narrowed(candidate)
    absent = next((name for name in ("card.md", "model_card.md") if not (folder / name).is_file()), None)
    section = b"" if absent else (folder / "card.md").read_bytes()
    pictures = [name.decode() for name in _PICTURES.findall(section)]
    if absent := absent or next((name for name in pictures if not (folder / name).is_file()), None):
        raise ToxauditError(f"There is no {folder / absent}: run `toxaudit card {wanted.run}` first.")
    files = {f"{PLOTS_FOLDER}/{file.name}": file.read_bytes() for file in sorted((folder / PLOTS_FOLDER).glob("*.png"))}
    if (folder / AUDIT).is_file():
        files[AUDIT] = shown.without((folder / AUDIT).read_bytes())
    made = contents.published(result, candidate)
    files |= {f"{PLOTS_FOLDER}/{name}": data for name, data in made.items()}
    if result.commitment:
        files[COMMITTED] = file_of(wanted.run).data
    files |= _record(wanted.run, candidate, made)
    if wanted.samples:
        files |= _samples(wanted.run, result, {result.base.name, result.against(candidate), candidate})
    if right := eval_results.file(own, benchmarks, page):
        files[eval_results.PATH] = right
    return Parcel(
        section=section,
        whole=(folder / "model_card.md").read_bytes(),
        metadata=metadata(own),
        files=files,
        description=f"toxaudit {own.version} compared this model with {_other(own, candidate)}: {of_audit(own)}. "
        "Of the model card only what stands between toxaudit's marker lines and its metadata are changed.",
    )


def _other(result: AuditResult, candidate: str) -> str:
    """What a candidate was compared with, for the readers of its repository."""
    other = result.reference(candidate)
    return "its base" if other is result.base else f"{visible(other.name)} ({visible(other.reference)})"


def _record(run: Path, candidate: str, made: Mapping[str, bytes]) -> dict[str, bytes]:
    """The decision on a candidate and its signatures, where the run has one of these very files.

    Raises:
        ToxauditError: if it is damaged, or of other files.
    """
    found = signing.standing(run)
    if found is None or candidate not in found.decision.candidates:
        return {}
    signed = found.decision.published[candidate]
    if contents.unlike(found.decision, run) or signed != {name: digest(made.get(name, b"")) for name in signed}:
        raise ToxauditError(
            f"{run / DECISION} is of other files than would be sent, or another toxaudit wrote them: `toxaudit verify "
            f"{run}` says which; sign again, or move it away."
        )
    return dict(zip(RECORD, (found.decision.data, envelopes.written(found.lines)), strict=True))


def _samples(run: Path, result: AuditResult, arms: set[str]) -> dict[str, bytes]:
    """The samples of these arms, a file for each suite."""
    rows: dict[str, list[str]] = {suite.name: [] for suite in result.suites}
    for row in read_samples(run, result):
        if row["model"] in arms and row["suite"] in rows:
            rows[row["suite"]].append(json.dumps(row, ensure_ascii=False) + "\n")
    return {
        f"toxaudit/samples_{suite}.jsonl": "".join(lines).encode("utf-8", "replace") for suite, lines in rows.items()
    }


def edited(there: bytes | None, parcel: Parcel) -> tuple[bytes, tuple[str, ...]]:
    """The README to be, and what of its metadata stays as the owner has it.

    Args:
        there: the README that is there; None where there is none.
        parcel: what is to be sent.

    Raises:
        ToxauditError: if its front matter is broken, its markers are no pair, or it is not UTF-8.
    """
    readme = parcel.whole if there is None else there
    for name, text in ((README, readme), ("card.md", parcel.section)):
        try:
            text.decode()
        except UnicodeDecodeError as error:
            line = text.count(b"\n", 0, error.start) + 1
            raise ToxauditError(f"{name}, line {line} is not UTF-8, which the Hub client does not send.") from error
    merged = merge(splice(readme, parcel.section), parcel.metadata)
    return merged.data, merged.notes


def difference(name: str, there: bytes | None, to_be: bytes) -> str:
    """The change of a text, as ``diff -u`` shows it; only characters that act unseen are shown otherwise."""
    old, new = ((data or b"").decode("utf-8", "replace").split("\n") for data in (there, to_be))
    names = ("/dev/null" if there is None else f"a/{name}", f"b/{name}")
    lines = []
    for line in difflib.unified_diff(_lines(old), _lines(new), *names):
        text, ended = line.removesuffix("\n"), line.endswith("\n")
        carriage = "\r" if text.endswith("\r") else ""
        lines.append(visible(text.removesuffix("\r"), keep="\t") + carriage)
        lines += [] if ended else ["\\ No newline at end of file"]
    return "\n".join(lines)


def _lines(parts: list[str]) -> list[str]:
    return [f"{part}\n" for part in parts[:-1]] + ([parts[-1]] if parts[-1] else [])
