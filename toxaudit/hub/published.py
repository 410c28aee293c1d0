"""``toxaudit verify ORG/NAME``: the record of a repository on the Hub, against what lies there at one revision."""

from collections.abc import Iterator
from pathlib import Path

from toxaudit import commitment
from toxaudit.card.readme.splice import LINE_END, place
from toxaudit.card.section import PLOTS_FOLDER
from toxaudit.commitment import COMMITMENT
from toxaudit.errors import ToxauditError
from toxaudit.hub.parcel import COMMITTED, PUSHED_FILES, README, RECORD
from toxaudit.hub.repository import Repository
from toxaudit.hub.whose import COMPARED
from toxaudit.signoff import block, record, shown
from toxaudit.signoff.contents import root
from toxaudit.signoff.decision import SHOWN_CHARACTERS, ReleaseDecision, Weights, digest
from toxaudit.signoff.record import Record
from toxaudit.signoff.signatures import Asked, Finding, Trusted
from toxaudit.signoff.verification import of_record
from toxaudit.sources.base import TOLD, WEIGHTS, wanted


def verified(name: str, revision: str | None, asked: Asked) -> Iterator[Finding]:
    """Everything about the decision that a repository publishes; weights are not fetched.

    Args:
        name: the repository's id.
        revision: a branch, tag or commit; None for the main branch.
        asked: how the decision is to be checked.

    Raises:
        ToxauditError: if the Hub can't be asked, or a key can't be read.
    """
    if asked.weights:
        raise ToxauditError(
            "--weights is for a run or a record: those of a repository are compared by what the Hub says."
        )
    from huggingface_hub import is_offline_mode

    if is_offline_mode():
        raise ToxauditError(f"HF_HUB_OFFLINE is set, so that {name} can't be asked: unset it, or name a run's folder.")
    trusted = Trusted.of(asked)
    repository = Repository(name, doing="verify")
    commit = repository.commit(revision)
    yield Finding("repository", None, f"{name} at commit {commit}")
    texts = {path: repository.file(path, commit) for path in (*RECORD, README)}
    data, signed, readme = texts.values()
    if data is None or signed is None:
        yield Finding("record", False, f"unsigned: there is no {RECORD[0] if data is None else RECORD[1]}")
        return
    try:
        found = record.parsed(data, signed, *RECORD)
    except ToxauditError as error:
        yield Finding("record", False, str(error).rstrip("."))
        return
    yield from of_record(found, trusted, asked)
    if found.decision.committed:
        yield _committed(found.decision, repository.file(COMMITTED, commit))
    yield from _files(found, readme or b"", repository, commit)


def _committed(told: ReleaseDecision, data: bytes | None) -> Finding:
    """Whether the commitment that lies there is the one that was signed, of the rule and the time that it says."""
    if data is None or digest(data) != told.files.get(COMMITMENT):
        return Finding("commitment", False, f"{COMMITTED}: missing, or not as it was signed")
    try:
        written = commitment.read(data, COMMITTED)
    except ToxauditError as error:
        return Finding("commitment", False, str(error).rstrip("."))
    if written.record.time != told.committed:
        return Finding("commitment", False, f"{COMMITTED} is of {written.record.time}, not of {told.committed}")
    own = written.content["policy"] == commitment.policy(told.policy)
    if not own and not any(each.committed for each in told.other_rules):
        return Finding("commitment", False, f"{COMMITTED} is to another rule than the decision states")
    whose = "the rule that decided" if own else "another rule, which the decision names"
    return Finding("commitment", True, f"{COMMITTED} is to {whose}, and is the one that was signed")


def _files(found: Record, readme: bytes, repository: Repository, commit: str) -> Iterator[Finding]:
    """The card's section, the files beside it, and the weights."""
    told = found.decision
    section = _section(readme)
    homes = {name: _home(told, name) for name in told.candidates}
    unblocked = digest(shown.without(section))
    whose = [name for name, home in homes.items() if told.files.get(f"{home}card.md") == unblocked]
    if not whose:
        yield Finding("card", False, f"the section in {README} is not one that was signed")
        return
    shows = shown.found(section) == block.of(f"{homes[whose[0]]}card.md", told, found.signers)
    where = f"the section in {README}"
    yield Finding("card", shows, f"{where} is the one that was signed" if shows else f"{where} shows other signers")
    there = repository.listed(commit)
    yield from _beside(told, whose[0], homes[whose[0]], repository, commit, there)
    yield from _weights(told, whose[0], repository, commit, there)


def _home(told: ReleaseDecision, candidate: str) -> str:
    """The folder, as a prefix, of a candidate's own card in the run that was signed."""
    own = f"candidates/{candidate}/"
    return own if f"{own}card.md" in told.files else ""


def _section(readme: bytes) -> bytes:
    """The section with a card's own line endings; nothing where there is none, or its markers are no pair."""
    try:
        found = place(readme)
    except ToxauditError:
        return b""
    return LINE_END.sub(b"\n", readme[found.start : found.stop]) + b"\n" if found else b""


def _beside(
    told: ReleaseDecision, whose: str, home: str, repository: Repository, commit: str, there: list[str]
) -> Iterator[Finding]:
    """Results and plots beside the card."""
    elsewhere = (*RECORD, COMMITTED) if told.committed else RECORD
    listed = [path for path in there if PUSHED_FILES.fullmatch(path) and path not in elsewhere]
    made = {f"{PLOTS_FOLDER}/{file}": sha for file, sha in told.published[whose].items()}
    made |= {name.removeprefix(home): sha for name, sha in told.files.items() if name.startswith(home)}
    covered = [path for path in listed if path in made and not path.endswith(".jsonl")]
    lacking = [path for path in told.published[whose] if f"{PLOTS_FOLDER}/{path}" not in listed]
    have = repository.digests(commit, covered)
    wrong = [path for path in covered if have.get(path) != made[path]] + [f"{PLOTS_FOLDER}/{path}" for path in lacking]
    if wrong:
        yield Finding("files", False, f"{', '.join(wrong)}: missing, or not as it was signed")
    else:
        yield Finding("files", True, f"{len(covered)} files beside it are as they were signed")
    if others := [path for path in listed if path not in covered]:
        derived = f"{', '.join(others)}: made of what was signed, and not compared"
        yield Finding("files", None, derived)


def _weights(
    told: ReleaseDecision, whose: str, repository: Repository, commit: str, there: list[str]
) -> Iterator[Finding]:
    """The candidate's weights, by the digests that the Hub states."""
    own = {key: each for key, each in told.weights.items() if key.startswith(f"candidates.{whose}.")}
    if not own:
        yield Finding("weights", None, f"the record names no files of {whose}, so that none were compared")
        return
    for key, each in own.items():
        yield _compared(key, each, repository, commit, there)


def _compared(key: str, each: Weights, repository: Repository, commit: str, there: list[str]) -> Finding:
    name = f"weights of {key.rpartition('.')[0]}"
    held = [path for path in there if path.endswith(COMPARED) or Path(path).name in each.files]
    have = repository.digests(commit, held)
    lacking = [file for file, sha in each.files.items() if sha not in have.values()]
    if lacking:
        return Finding(name, False, f"{', '.join(lacking[:3])} of {repository.name} is not what was signed, or missing")
    if len(each.files) > 1 and root(each.files) != each.digest:
        return Finding(name, False, f"the digest of {key} is not that of its files")
    same = any(path in each.files and path.endswith(".safetensors") for path in there)
    fetched = [path for path in there if wanted(path, WEIGHTS) and Path(path).name not in TOLD]
    if same and (new := [path for path in fetched if path not in each.files]):
        return Finding(name, False, f"{', '.join(new[:3])} of {repository.name} is loaded with it, but was not signed")
    shas = f"root digest {each.digest[:SHOWN_CHARACTERS]}"
    return Finding(name, True, f"all {len(each.files)} files are those that were signed ({shas}), by the Hub's digests")
