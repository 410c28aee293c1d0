"""What is signed: one decision on one run, as ``decision.json`` says it (``docs/decision.schema.json``)."""

import hashlib
import json
import re
from dataclasses import asdict, dataclass, fields
from datetime import UTC, date, datetime
from functools import lru_cache
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, Literal

from toxaudit.errors import ToxauditError
from toxaudit.facts import BASE_ARM, Decision, Expectation, Tier
from toxaudit.findings import OtherRule
from toxaudit.gate_facts import GateFacts
from toxaudit.records import Quantity

if TYPE_CHECKING:
    from pydantic import BaseModel

FORMAT = "toxaudit.decision/1"
"""What ``decision.json`` says it is."""

DECISION, ENVELOPES = "decision.json", "decision.intoto.jsonl"
EARLIER = "decisions"
"""The folder of decisions that another one has superseded, each called by the first characters of its digest."""

SHOWN_CHARACTERS = 12
"""Of a digest, where people read it."""

Outcome = Literal["approved", "rejected"]

_DAY, _TIME = r"\d{4}-\d{2}-\d{2}", r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}Z"


@dataclass(frozen=True)
class Waiver:
    """A rule that is not met and may stay so for a while; ``expires`` is the last day, in UTC."""

    rule: str
    reason: str
    expires: str


@dataclass(frozen=True)
class Rule:
    """One line of the gate's table, under the name that waivers and test reports call it by."""

    name: str
    tier: Tier
    required: str
    observed: str
    decision: Decision


@dataclass(frozen=True)
class Judged:
    """What the gate decided of one candidate, and by which lines.

    ``expect`` is what a control was to come out as, and ``worse`` whether it is surely worse than its reference: of no
    other control is that written. ``against`` is the arm that the candidate was compared with, and ``reference`` the
    SHA-256 identity of that arm, where it is not the base: of the base neither is written.
    """

    candidate: str
    decision: Decision
    expect: Expectation | None
    rules: tuple[Rule, ...]
    against: str = BASE_ARM
    reference: str | None = None
    worse: bool | None = None

    @property
    def as_expected(self) -> bool:
        """Whether a control came out as expected; what is no control did."""
        return bool(self.worse) if self.expect == "worse" else self.expect in (None, self.decision)


@dataclass(frozen=True)
class Change:
    """An estimate that decides: both rates and the change, with 95 % intervals."""

    candidate: str
    suite: str
    measure: str
    estimator: str
    variant: str
    n: int
    quantities: dict[str, Quantity]
    p_increase: float
    p_above_margin: float


@dataclass(frozen=True)
class Weights:
    """Weights by content.

    ``digest`` is the root digest by the rule of OpenSSF model signing: SHA-256 over the SHA-256s of ``files``, in the
    order of their paths; of a single file, its own.
    """

    reference: str
    revision: str | None
    digest: str
    files: dict[str, str]


@dataclass(frozen=True)
class Needed:
    """How many must sign before the decision counts; with ``ran_by``, a key's fingerprint, not that one alone."""

    threshold: int
    ran_by: str | None


@dataclass(frozen=True)
class ReleaseDecision:
    """A decision on a finished run, and all that it rests on.

    Attributes:
        format: of the file.
        audit: the audit's name.
        toxaudit: the version that wrote it.
        outcome: what people decided.
        decision: what the gate decided, of these candidates.
        time: when, in UTC.
        expires: the last day on which it holds, in UTC; None where it holds on.
        supersedes: SHA-256 of the ``decision.json`` in whose place it came.
        candidates: whom it is about.
        waivers: the rules that are not met and may stay so.
        signatures: how many must sign.
        policy: the gate's rule, as ``results.json`` says it.
        committed: the time of the run's ``commitment.json``, if it has one.
        verdicts: of these candidates and of the controls.
        not_audited: candidates that were to be audited and could not be.
        other_rules: by which the same answers were decided as well, and what these came to.
        estimates: those that decide.
        weights: key in ``lock.json`` -> what was loaded.
        files: name -> SHA-256; of a card or report without the block that says who signed.
        published: candidate -> file -> SHA-256 of what ``toxaudit push`` makes of the results for its repository.
    """

    format: Literal["toxaudit.decision/1"]
    audit: str
    toxaudit: str
    outcome: Outcome
    decision: Decision
    time: str
    expires: str | None
    supersedes: str | None
    candidates: tuple[str, ...]
    waivers: tuple[Waiver, ...]
    signatures: Needed
    policy: GateFacts
    committed: str | None
    verdicts: tuple[Judged, ...]
    not_audited: tuple[str, ...]
    other_rules: tuple[OtherRule, ...]
    estimates: tuple[Change, ...]
    weights: dict[str, Weights]
    files: dict[str, str]
    published: dict[str, dict[str, str]]

    @property
    def data(self) -> bytes:
        """The bytes of ``decision.json``, the same of candidates of the base as before there were other references."""
        content = asdict(self)
        for judged in content["verdicts"]:
            if judged["against"] == BASE_ARM:
                del judged["against"], judged["reference"]
            if judged["worse"] is None:
                del judged["worse"]
        text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
        return text.encode("utf-8", "replace")

    def expired(self, day: date) -> str:
        """What of it no longer holds on a day, as a phrase; empty where all does."""
        if self.expires and day > date.fromisoformat(self.expires):
            return f"it was valid until {self.expires}"
        gone = [each for each in self.waivers if day > date.fromisoformat(each.expires)]
        return f"the waiver of {gone[0].rule} was valid until {gone[0].expires}" if gone else ""


def digest(data: bytes) -> str:
    """SHA-256 (hex)."""
    return hashlib.sha256(data).hexdigest()


def moment(now: datetime) -> str:
    """A time as records say it."""
    return now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def read(data: bytes, named: str) -> ReleaseDecision:
    """What a ``decision.json`` says.

    Args:
        data: the file's bytes.
        named: what to call the file.

    Raises:
        ToxauditError: if it is damaged or of another format; the sentence names file and field.
    """
    from pydantic import ValidationError

    try:
        told = _model().model_validate_json(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = f"'{'.'.join(map(str, first['loc']))}'" if first["loc"] else "it"
        raise ToxauditError(
            f"{named} is no decision of the format {FORMAT}: {where} is wrong: {first['msg']}."
        ) from error
    found = ReleaseDecision(**{field.name: getattr(told, field.name) for field in fields(ReleaseDecision)})
    if odd := _odd_date(found):
        raise ToxauditError(f"{named}: '{odd}' is no day or time as a decision states it.")
    if outside := next((name for name in found.files if not _is_within(name)), ""):
        raise ToxauditError(f"{named}: '{outside}' is no file of a run.")
    if wrong := _unfit(found):
        raise ToxauditError(f"{named}: {wrong}.")
    return found


def is_time(text: str) -> bool:
    """Whether a text is a time as records say it."""
    try:
        return bool(re.fullmatch(_TIME, text)) and bool(datetime.fromisoformat(text))
    except ValueError:
        return False


def is_day(text: str) -> bool:
    """Whether a text is a day as records say it."""
    try:
        return bool(re.fullmatch(_DAY, text)) and bool(date.fromisoformat(text))
    except ValueError:
        return False


def _unfit(found: ReleaseDecision) -> str:
    """What of a decision does not fit together, as a phrase; empty where all does."""
    if not found.candidates or len(set(found.candidates)) < len(found.candidates):
        return "'candidates' must name somebody, and nobody twice"
    if set(found.published) != set(found.candidates):
        return "'published' must hold one for each of the candidates"
    if not all(each.files for each in found.weights.values()):
        return "'weights' holds some without files"
    digests = [*found.files.values(), *(each.digest for each in found.weights.values())]
    digests += [sha for each in found.weights.values() for sha in each.files.values()]
    digests += [sha for made in found.published.values() for sha in made.values()]
    digests += [found.supersedes] if found.supersedes else []
    odd = next((sha for sha in digests if not re.fullmatch("[0-9a-f]{64}", sha)), "")
    return f"'{odd}' is no SHA-256" if odd else ""


def _is_within(name: str) -> bool:
    """Whether a file's name leads nowhere but into the run's folder."""
    path = PurePosixPath(name)
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts and "\\" not in name


def _odd_date(found: ReleaseDecision) -> str:
    """The first day or time that is none."""
    days = [each.expires for each in found.waivers] + ([found.expires] if found.expires else [])
    times = [found.time, *([found.committed] if found.committed else [])]
    return next((day for day in days if not is_day(day)), next((each for each in times if not is_time(each)), ""))


@lru_cache(maxsize=1)
def _model() -> "type[BaseModel]":
    """The file as pydantic knows it."""
    from pydantic import ConfigDict, create_model

    known: dict[str, Any] = {field.name: (field.type, ...) for field in fields(ReleaseDecision)}
    config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
    return create_model(FORMAT, __config__=config, __doc__=ReleaseDecision.__doc__, **known)


def schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of ``decision.json``."""
    from pydantic.json_schema import GenerateJsonSchema

    class Untitled(GenerateJsonSchema):
        """Without titles that only repeat the fields' names."""

        def field_title_should_be_set(self, schema: Any) -> bool:
            return False

    return {"$schema": GenerateJsonSchema.schema_dialect} | _model().model_json_schema(schema_generator=Untitled)
