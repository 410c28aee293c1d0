"""Every field of a spec that names files outside of it, and the commits that these stand for: found once, handed on."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from toxaudit.errors import ToxauditError
from toxaudit.models import served
from toxaudit.models.resolve import TOKENIZER, subfolder_field, weight_files
from toxaudit.sources import FileField, HubSource, Source, parse
from toxaudit.sources.base import WEIGHTS
from toxaudit.spec.recipes import RowsSpec
from toxaudit.spec.schema import BASE, OWN, SKIP, AuditSpec, CandidateSpec, WeightsSpec
from toxaudit.suites.files import Files


@dataclass(frozen=True)
class Reference:
    """A field of the spec that names files outside of it.

    Attributes:
        place: where in the spec the part stands that has the field: ``candidates.mine``; empty for the spec itself.
        part: that part.
        named: the field, and what is fetched of what it names.
        candidate: the name of the candidate whose field it is, if any.
    """

    place: str
    part: Any
    named: FileField
    candidate: str | None = None

    @property
    def key(self) -> str:
        """Where the field stands in the spec: ``candidates.mine.peft``."""
        return f"{self.place}.{self.named.field}" if self.place else self.named.field

    @property
    def patterns(self) -> tuple[str, ...]:
        """The files that are fetched; none named means all."""
        return self.named.patterns

    @property
    def source(self) -> Source:
        """What the field names now.

        Raises:
            ToxauditError: if it names nothing that can be fetched.
        """
        revision, subfolder = (
            getattr(self.part, name) if name else None
            for name in (self.named.revision_field, self.named.subfolder_field)
        )
        return parse(getattr(self.part, self.named.field), revision, self.named.repo_type, subfolder)

    def at(self, commit: str) -> dict[str, str]:
        """The values of the part's fields that name the commit, in place of the Hub reference's revision."""
        written: str = getattr(self.part, self.named.field)
        values = {}
        if "@" in written or not self.named.revision_field:
            values[self.named.field] = f"{written.partition('@')[0]}@{commit}"
        if self.named.revision_field:
            values[self.named.revision_field] = commit
        return values


@dataclass(frozen=True)
class Pinned:
    """An audit whose every reference stands for one commit.

    Attributes:
        spec: as it was written, but each Hub reference names its commit.
        server: the host and path of the server that answers for the arms, if one does.
        refused: the candidates that may not be audited for what is known before any file is fetched, and why.
        replayed: whether a lock file named the commits. Then every other candidate must be audited, and what each
            declares as its base was accepted by the run that wrote the lock.
        references: every field of ``spec`` that names files, in the order of the spec.
    """

    spec: AuditSpec
    server: str | None
    refused: Mapping[str, str] = field(default_factory=dict)
    replayed: bool = False
    references: tuple[Reference, ...] = ()

    @property
    def may_skip(self) -> bool:
        """Whether a candidate that can't be audited is left out, instead of stopping the audit."""
        return self.spec.on_candidate_error == SKIP and not self.replayed


def references(spec: AuditSpec) -> list[Reference]:
    """Every field of the spec that names files outside of it, in the order of the spec.

    Raises:
        ToxauditError: if a server answers for the arms, and the spec speaks of their files.
    """
    found: list[Reference] = []
    if spec.backend.server:
        served.check(spec)  # their names are a server's, and no files
    else:
        found += [Reference("base", spec.base, each) for each in _weights(spec.base)]
        for name, candidate in spec.candidates.items():
            found += _candidate(f"candidates.{name}", candidate, name)
        if spec.chat_template not in (OWN, BASE):
            found.append(Reference("", spec, FileField("chat_template")))
    for key, parts in (("suites", spec.suites), ("scorers", spec.scorers)):
        for name, part in parts.items():
            found += [Reference(f"{key}.{name}", part, each) for each in part.file_fields()]
    if spec.labels is not None:
        found.append(Reference("", spec, FileField("labels")))
    return found


def pin(spec: AuditSpec) -> Pinned:
    """The audit with each Hub reference at the commit that it stands for now; ``spec`` stays as it is.

    A candidate with a reference that can't be resolved is refused, where the spec says to skip such.

    Raises:
        ToxauditError: if a reference can't be resolved.
    """
    refused: dict[str, str] = {}
    known: dict[HubSource, str] = {}  # one commit for all that name one branch, although it may move meanwhile
    commits: dict[str, str] = {}
    for reference in references(spec):
        if reference.candidate in refused:
            continue
        try:
            source = reference.source
            if isinstance(source, HubSource):
                if source not in known:
                    known[source] = source.resolve()
                commits[reference.key] = known[source]
        except ToxauditError as error:
            if reference.candidate is None or spec.on_candidate_error != SKIP:
                raise
            refused[reference.candidate] = str(error)
    return at_commits(spec, commits, refused)


def at_commits(
    spec: AuditSpec, commits: Mapping[str, str], refused: Mapping[str, str], replayed: bool = False
) -> Pinned:
    """The audit with the Hub references of ``commits`` (key -> commit) at these.

    Args:
        spec: it stays as it is.
        commits: by the references' keys.
        refused: as in ``Pinned``.
        replayed: as in ``Pinned``.
    """
    values: dict[str, dict[str, str]] = defaultdict(dict)
    for each in references(spec):
        if each.key in commits:
            values[each.place] |= each.at(commits[each.key])

    def at(place: str, part: Any) -> Any:
        return replace(part, **values[place]) if place in values else part

    candidates = {}
    for name, candidate in spec.candidates.items():
        place = f"candidates.{name}"
        stages = []
        for number, stage in enumerate(candidate.train):
            where = f"{place}.train[{number}]"
            others = at(f"{where}.replay", stage.replay) if stage.replay else None
            stages.append(replace(at(where, stage), replay=others))
        candidates[name] = replace(at(place, candidate), train=stages)
    pinned = replace(
        spec,
        base=at("base", spec.base),
        candidates=candidates,
        suites={name: at(f"suites.{name}", suite) for name, suite in spec.suites.items()},
        scorers={name: at(f"scorers.{name}", scorer) for name, scorer in spec.scorers.items()},
    )
    return Pinned(pinned, pinned.backend.server, dict(refused), replayed, tuple(references(pinned)))


def _weights(weights: WeightsSpec) -> list[FileField]:
    """``pretrained`` and ``tokenizer``, where they are named."""
    fields = (
        FileField("pretrained", "revision", weight_files(weights), subfolder_field=subfolder_field(weights)),
        FileField("tokenizer", patterns=TOKENIZER),
    )
    return [each for each in fields if getattr(weights, each.field)]


def _candidate(place: str, candidate: CandidateSpec, name: str) -> list[Reference]:
    found = [Reference(place, candidate, each, name) for each in _weights(candidate)]
    if candidate.peft:
        found.append(
            Reference(place, candidate, FileField("peft", "peft_revision", WEIGHTS, subfolder_field="subfolder"), name)
        )
    for number, stage in enumerate(candidate.train):
        where = f"{place}.train[{number}]"
        found.append(Reference(where, stage, _rows(stage), name))
        if stage.replay:
            found.append(Reference(f"{where}.replay", stage.replay, _rows(stage.replay), name))
    return found


def _rows(rows: RowsSpec) -> FileField:
    """The data of a stage, or of what it replays."""
    return FileField("data", "revision", Files("", rows.file, rows.config, rows.split).patterns, "dataset")
