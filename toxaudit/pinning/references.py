"""Every field of a spec that names files outside of it, and the commits that these stand for."""

from dataclasses import dataclass
from typing import Any

from toxaudit.errors import ToxauditError
from toxaudit.models import served
from toxaudit.models.resolve import TOKENIZER, weight_files
from toxaudit.sources import HubSource, Source, parse
from toxaudit.sources.base import WEIGHTS
from toxaudit.spec.schema import SKIP, AuditSpec, CandidateSpec, WeightsSpec


@dataclass(frozen=True)
class Reference:
    """A field of the spec that names files outside of it.

    Attributes:
        key: where the field stands in the spec: ``candidates.mine.peft``.
        part: the part of the spec that has the field.
        field: the field's name in that part.
        revision_field: the name of the field beside it that holds its revision, where there is one.
        patterns: the files that are fetched.
        repo_type: of a Hub repository: ``model`` or ``dataset``.
        candidate: the name of the candidate whose it is, if any.
    """

    key: str
    part: Any
    field: str
    revision_field: str | None = None
    patterns: tuple[str, ...] = ()
    repo_type: str = "model"
    candidate: str | None = None

    @property
    def source(self) -> Source:
        """What the field names now.

        Raises:
            ToxauditError: it names nothing that can be fetched.
        """
        revision = getattr(self.part, self.revision_field) if self.revision_field else None
        return parse(getattr(self.part, self.field), revision, self.repo_type)

    def pin(self, commit: str) -> None:
        """Write the commit into the spec, in place of the Hub reference's revision."""
        written = getattr(self.part, self.field)
        if "@" in written or not self.revision_field:
            setattr(self.part, self.field, f"{written.partition('@')[0]}@{commit}")
        if self.revision_field:
            setattr(self.part, self.revision_field, commit)


def references(spec: AuditSpec) -> list[Reference]:
    """Every field of the spec that names files outside of it, in the order of the spec.

    Raises:
        ToxauditError: a server answers for the arms, and the spec speaks of their files.
    """
    found = []
    if served.server_of(spec):
        served.check(spec)  # their names are a server's, and no files
    else:
        found += _weights("base", spec.base, None)
        for name, candidate in spec.candidates.items():
            found += _candidate(f"candidates.{name}", candidate, name)
    for name, suite in spec.suites.items():
        found.append(Reference(f"suites.{name}.data", suite, "data", "revision", suite.patterns, "dataset"))
    for name, scorer in spec.scorers.items():
        if getattr(scorer, "pretrained", None):
            revision = "revision" if hasattr(scorer, "revision") else None
            key = f"scorers.{name}.pretrained"
            found.append(Reference(key, scorer, "pretrained", revision, scorer.patterns))
        for field in ("lexicon", "rubric", "calibration"):
            named = getattr(scorer, field, None)
            if named and (field != "rubric" or named.endswith(".jinja")):  # else one that comes with toxaudit
                found.append(Reference(f"scorers.{name}.{field}", scorer, field))
    return found


def pin(spec: AuditSpec) -> dict[str, str]:
    """Make each Hub reference's revision the commit that it stands for now. To be called before a part fetches.

    Returns:
        The candidates with a reference that can't be resolved, and why; only where the spec says to skip such.

    Raises:
        ToxauditError: a reference can't be resolved.
    """
    skipped: dict[str, str] = {}
    commits: dict[HubSource, str] = {}  # one commit for all that name one branch, although it may move meanwhile
    for each in references(spec):
        if each.candidate in skipped:
            continue
        try:
            source = each.source
            if isinstance(source, HubSource):
                if source not in commits:
                    commits[source] = source.resolve()
                each.pin(commits[source])
        except ToxauditError as error:
            if each.candidate is None or spec.on_candidate_error != SKIP:
                raise
            skipped[each.candidate] = str(error)
    return skipped


def _weights(where: str, weights: WeightsSpec, candidate: str | None) -> list[Reference]:
    """``pretrained`` and ``tokenizer``, where they are named."""
    found = [
        Reference(f"{where}.pretrained", weights, "pretrained", "revision", weight_files(weights), candidate=candidate),
        Reference(f"{where}.tokenizer", weights, "tokenizer", None, TOKENIZER, candidate=candidate),
    ]
    return [each for each in found if getattr(weights, each.field)]


def _candidate(where: str, candidate: CandidateSpec, name: str) -> list[Reference]:
    found = _weights(where, candidate, name)
    if candidate.peft:
        found.append(Reference(f"{where}.peft", candidate, "peft", "peft_revision", WEIGHTS, candidate=name))
    for number, stage in enumerate(candidate.train):
        found.append(Reference(f"{where}.train[{number}].data", stage, "data", candidate=name))
    return found
