"""What an arm reads and writes by, as digests of its tokenizer's parts, and how that differs from another arm's."""

import json
from dataclasses import dataclass
from typing import Any

from toxaudit.facts import its
from toxaudit.records import digest


@dataclass(frozen=True)
class Words:
    """What an arm reads and writes by: SHA-256 digests of the parts of its tokenizer and of its stop tokens."""

    vocabulary: str
    tokenizer: str
    template: str
    stops: str = ""


def words_of(read: Any) -> Words:
    """Those of a tokenizer, without stop tokens."""
    backend = getattr(read, "backend_tokenizer", None)
    vocabulary = digest_of(sorted(read.get_vocab().items()))
    return Words(
        vocabulary=vocabulary,
        tokenizer=digest(backend.to_str()) if backend else vocabulary,
        template=digest_of(read.chat_template),
    )


def differences(own: Words, other: Words, reference: str) -> dict[str, str]:
    """What is compared of how an arm and its reference read and write, each with the phrase on how it differs.

    The phrase is empty where it does not. A tokenizer is told of where the vocabulary, which is a part of it, doesn't
    differ.
    """
    whose = its(reference)

    def differ(what: str, mine: str, theirs: str) -> str:
        return f"its {what} ({mine:.12}) differs from {whose} ({theirs:.12})"

    vocabulary = own.vocabulary != other.vocabulary
    tokenizers = own.tokenizer != other.tokenizer and not vocabulary
    templates = own.template != other.template
    stops = bool(own.stops) and own.stops != other.stops
    return {
        f"vocabulary beside {whose}": differ("vocabulary", own.vocabulary, other.vocabulary) * vocabulary,
        f"tokenizer beside {whose}": differ("tokenizer", own.tokenizer, other.tokenizer) * tokenizers,
        f"chat template beside {whose}": differ("chat template", own.template, other.template) * templates,
        f"stop tokens beside {whose}": f"its stop tokens differ from {whose}" * stops,
    }


def digest_of(value: Any) -> str:
    """SHA-256 (hex) of a value as JSON."""
    return digest(json.dumps(value, ensure_ascii=False))
