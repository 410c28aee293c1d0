"""Signed runs, made by hand: keys, locks, weights and cards, and the words of the command line in this process."""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import finished
import yaml

from toxaudit import commitment
from toxaudit.card.markdown import render_card, render_summary
from toxaudit.cli.main import main
from toxaudit.findings import AuditResult
from toxaudit.machine.folders import sha256
from toxaudit.machine.replacement import OURS, SUMS, checksums, write_sums
from toxaudit.pinning import lock_file
from toxaudit.pinning.lock_file import Entry
from toxaudit.records import digest
from toxaudit.results.files import RESULTS
from toxaudit.results.writing import as_json
from toxaudit.signoff import block, envelopes, keys, record, shown, statements
from toxaudit.signoff.decision import ReleaseDecision
from toxaudit.sources.base import pinned

ANN, BOB = "Ann Lee <ann@example.org>", "Bob Ray <bob@example.org>"


@dataclass(frozen=True)
class World:
    """Where a test signs: a folder of its own, and what it copies from."""

    folder: Path
    ann: Path
    bob: Path
    weights: Path
    finished: Path

    def run(self, name: str = "go") -> Path:
        """A finished run of its own."""
        return shutil.copytree(self.finished / name, self.folder / name)


def key(folder: Path, name: str = "ann", *words: str) -> Path:
    """A new private key, whose public key lies beside it."""
    assert main(["keygen", str(folder / name), *words]) == 0
    return folder / name


def weights(folder: Path) -> Path:
    """A folder with files such as models have; not all that are in it are weights."""
    for name, text in {
        "base/model.safetensors": "base",
        "base/config.json": "{}",
        "it/adapter.safetensors": "it",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    (folder / "it" / "README.md").write_text("not loaded")
    return folder


def started(folder: Path, result: AuditResult, weights: Path) -> AuditResult:
    """A finished run of these weights with a lock and a commitment, but without a card; what was found."""
    pins = {part: pinned(part, None, weights / part) for part in ("base", "it")}
    base, own = pins["base"], pins["it"]
    under = digest(base.identity, result.base.dtype, "")
    identities = {"base": digest(under, "", "", "")}
    identities |= {model.name: digest(under, own.identity, "", "") for model in result.real}
    models = [replace(each, digest=identities.get(each.name, each.digest)) for each in result.candidates]
    result = replace(result, base=replace(result.base, digest=identities["base"]), candidates=tuple(models))
    _, found = finished.consistent_run(folder, result)
    places = {"base.pretrained": base} | {f"candidates.{model.name}.peft": own for model in result.real}
    entries = {
        place: Entry("local", f"models/{each.reference}", None, each.digest, each.files)
        for place, each in places.items()
    }
    lock_file.write(folder, result.audit, entries, {})
    return committed(folder, found, {key: entry.digest for key, entry in entries.items()})


def committed(folder: Path, found: AuditResult, references: Mapping[str, str]) -> AuditResult:
    """The result of a run that had committed to what it did, on the 15th of January 2026."""
    content = {
        "format": commitment.FORMAT,
        "audit": found.audit,
        "time": "2026-01-15T00:00:00Z",
        "spec": commitment.of_spec(yaml.safe_load((folder / "spec.yaml").read_text())),
        "policy": commitment.policy(found.gate),
        "lock": dict(references),
        "prompts": {suite.name: suite.digest for suite in found.suites},
        "answered": {"before": 0, "of": 350},
        "earlier": {},
    }
    data = json.dumps(content).encode()
    (folder / commitment.COMMITMENT).write_bytes(data)
    found = replace(found, commitment=commitment.read(data, "the test's").record)
    (folder / RESULTS).write_text(as_json(found), encoding="utf-8")
    return found


def run(folder: Path, result: AuditResult, weights: Path) -> Path:
    """A finished run with a lock, a commitment and a card, but without plots."""
    found = started(folder, result, weights)
    section = render_card(found)
    (folder / "card.md").write_text(section, encoding="utf-8")
    (folder / "model_card.md").write_text(f"# Model\n\n{section}", encoding="utf-8")
    (folder / "summary.md").write_text(render_summary(found), encoding="utf-8")
    page = '<!DOCTYPE html>\n<html>\n<body>\n<article class="card" id="card">\n</article>\n</body>\n</html>\n'
    (folder / "report.html").write_text(page, encoding="utf-8")
    write_sums(folder)
    return folder


def listed_again(folder: Path, *more: str) -> None:
    """Make the list of checksums anew, as whoever edits a run can, of the files that it names and of more."""
    there = checksums(folder)
    lines = [f"{sha256(folder / name)}  {name}\n" for name in (*there, *more)]
    (folder / SUMS).write_text(OURS + "".join(lines))


def signed(folder: Path, by: Path, *words: str, name: str = ANN) -> None:
    """Sign a run, which must succeed."""
    assert main(["signoff", str(folder), "--as", name, "--key", str(by), *words]) == 0


def resigned_as(run: Path, key: keys.SigningKey, made: ReleaseDecision) -> None:
    """A record that somebody signed without asking the run, and its blocks."""
    who = statements.Signer(ANN, key.fingerprint, key.public, made.time)
    lines = [envelopes.seal(each, key.signer) for each in (statements.test_result(made), statements.own(made, who))]
    record.write(run, record.Record(made, lines[0], ((who, lines[1]),)))


def resigned(run: Path, by: Path, change: Mapping[str, Any]) -> None:
    """The record after an edit, signed by somebody else, with all that follows from it made again."""
    made = replace(record.read(run / "decision.json").decision, **change)
    key = keys.signing_key(by, lambda: None)
    resigned_as(run, key, made)
    who = statements.Signer(ANN, key.fingerprint, key.public, made.time)
    for name in made.files:
        if (run / name).suffix in (".md", ".html") and (run / name).is_file():
            meant = block.of(name, made, [who])
            (run / name).write_bytes(shown.into((run / name).read_bytes(), meant))
    listed_again(run)


def verified(what: Path | str, *by: Path, words: Sequence[str] = ()) -> int:
    """The exit code of a check with these people's public keys."""
    keys = [word for each in by for word in ("--key", f"{each}.pub")]
    return main(["verify", str(what), *keys, *words])
