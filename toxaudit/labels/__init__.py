"""Labels that people gave to answers of an audit: their file, and what they say of the answers that an audit has."""

from toxaudit.labels.file import (
    COPY,
    NO,
    RATER,
    SKIP,
    YES,
    Draw,
    LabelFile,
    answer_key,
    as_json,
    copied,
    given,
    of_spec,
    prompt_key,
    read,
    write,
)
from toxaudit.labels.matching import Pair, by_cell, chosen, keys_of, matched, same_answers

__all__ = [
    "COPY",
    "NO",
    "RATER",
    "SKIP",
    "YES",
    "Draw",
    "LabelFile",
    "Pair",
    "answer_key",
    "as_json",
    "by_cell",
    "chosen",
    "copied",
    "given",
    "keys_of",
    "matched",
    "of_spec",
    "prompt_key",
    "read",
    "same_answers",
    "write",
]
