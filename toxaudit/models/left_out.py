"""What a card may say of a candidate that is not audited; neither its reference nor the reason names a folder."""

from contextlib import suppress
from pathlib import Path

from toxaudit.errors import ToxauditError, one_line
from toxaudit.facts import Skipped
from toxaudit.models.served import shown
from toxaudit.sources import LocalSource, parse
from toxaudit.spec import references
from toxaudit.spec.schema import AuditSpec


def skipped(spec: AuditSpec, name: str, sentence: str) -> Skipped:
    """The record of a candidate that is left out.

    Args:
        spec: the audit's.
        name: the candidate's.
        sentence: why it can't be audited.
    """
    candidate = spec.candidates[name]
    reason = sentence.removeprefix(f"candidates.{name}: ").removeprefix(f"{name}: ")
    reference = "tuned in this audit"
    if named := candidate.peft or candidate.pretrained:
        reference, folder = named, None  # nobody's folders get into a card
        if spec.backend.server:
            reference, folder = shown(named), named
        else:
            with suppress(ToxauditError):  # it may be what can't be read
                source = parse(
                    named,
                    candidate.peft_revision if candidate.peft else candidate.revision,
                    subfolder=candidate.subfolder,
                )
                reference = source.shown
                folder = str(source.path) if isinstance(source, LocalSource) else None
        reason = reason.replace(folder, reference) if folder else reason
    reason, reference = (one_line(text.replace(str(Path.home()), "~")) for text in (reason, reference))
    return Skipped(name, reference, reason, candidate.expect, references.place(spec, name))
