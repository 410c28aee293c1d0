"""Tokenizers of strangers: tried in a process with limits, then read."""

import sys
from pathlib import Path
from string import printable
from typing import Any

from toxaudit import thoughts
from toxaudit.errors import ToxauditError
from toxaudit.models import limited
from toxaudit.models.other_template import OtherTemplate, from_file
from toxaudit.models.refusing import refusing
from toxaudit.models.resolve import ResolvedModel
from toxaudit.sources.configured import check_counts
from toxaudit.spec.schema import BASE, OWN

PROBES = ("The weather today is", "Once upon a time there was a small house by the sea, and in it")
READ_SECONDS = 60.0  # for reading one, which takes a few


def folder_of(resolved: ResolvedModel) -> Path:
    """Where the tokenizer lies that the arm is asked through."""
    return resolved.tokenizer.path if resolved.tokenizer else resolved.folder


def read(resolved: ResolvedModel) -> Any:
    """The tokenizer that the arm is asked through.

    Raises:
        ToxauditError: if it can't be read or knows no words.
    """
    where = f"{resolved.name}: {(resolved.tokenizer or resolved.weights).reference}"
    words = read_folder(where, folder_of(resolved), resolved.run_code and not resolved.tokenizer)
    if other := resolved.template:
        words.chat_template = other.text
        if other.folder:
            words.chat_template = read_folder("base: its tokenizer", other.folder, other.run_code).chat_template
    return words


def asked_in(resolved: ResolvedModel, base: ResolvedModel, chosen: str) -> OtherTemplate | None:
    """The chat template that an arm is asked in, where that is not its own.

    Args:
        resolved: the arm.
        base: the audit's, for whom a file is read; other arms get what it has.
        chosen: what the spec says: ``own``, ``base`` or a file.

    Raises:
        ToxauditError: if the file can't be read.
    """
    if chosen == OWN or (chosen == BASE and folder_of(resolved) == folder_of(base)):
        return None
    if chosen != BASE:
        return base.template or from_file(chosen)
    files = base.tokenizer or base.weights
    return OtherTemplate(BASE, files.identity, folder=folder_of(base), run_code=base.run_code and not base.tokenizer)


def read_folder(where: str, folder: Path, run_code: bool = False) -> Any:
    """The tokenizer in ``folder``.

    Raises:
        ToxauditError: if it can't be read or knows no words.
    """
    from transformers import AutoTokenizer

    check_counts(f"{where} can't be loaded", folder)
    with refusing(f"{where} can't be loaded"):
        found = AutoTokenizer.from_pretrained(folder, trust_remote_code=run_code)
        words = set(found(PROBES[0], add_special_tokens=False).input_ids) - {found.unk_token_id}
    if not words:  # transformers makes an empty tokenizer where the files of a known architecture's are missing
        raise ToxauditError(f"{where} has no vocabulary: its tokenizer would read no word.")
    return found


def limits(resolved: ResolvedModel) -> tuple[int, int | None]:
    """How many tokens the arm's model has embeddings for, and how many it can read, as far as its configuration tells.

    Raises:
        ToxauditError: if the configuration can't be read.
    """
    from transformers import AutoConfig

    with refusing(f"{resolved.name}: {resolved.weights.reference} can't be loaded", resolved.folder):
        config = AutoConfig.from_pretrained(resolved.folder, trust_remote_code=resolved.run_code).get_text_config()
    return getattr(config, "vocab_size", None) or sys.maxsize, getattr(config, "max_position_embeddings", None)


def encode(where: str, words: Any, text: str, special: bool, known: int) -> list[int]:
    """The text's tokens, with those that begin and end every text where ``special``.

    Raises:
        ToxauditError: if the tokenizer ``words`` fails or gives a token beyond the model's ``known`` ones.
    """
    with refusing(f"{where}: the tokenizer can't read a text"):
        row = list(words(text, add_special_tokens=special).input_ids)
    if row and max(row) >= known:
        raise ToxauditError(
            f"{where}: the tokenizer gives token {max(row)}, but the model has embeddings for {known} only: its "
            "tokenizer is another model's, or its embeddings were not resized when tokens were added."
        )
    return row


def stops(words: Any, ends: frozenset[int]) -> frozenset[int]:
    """The tokens that end a completion: the tokenizer's own, and of ``ends`` those that are special tokens.

    A repository could name any word there, and so cut its answers off before they do harm.
    """
    special = {token for token, added in words.added_tokens_decoder.items() if added.special}
    return frozenset((ends & (special | set(words.all_special_ids))) | {words.eos_token_id}) - {None}


def marking_thoughts(words: Any) -> dict[int, str]:
    """The special tokens by which thoughts are marked, each with its text."""
    special = {token: added.content for token, added in words.added_tokens_decoder.items() if added.special}
    marking = thoughts.marking(special.values())
    return {token: content for token, content in special.items() if content in marking}


def attempt(where: str, folder: Path) -> None:
    """Let a process of its own read by the tokenizer in ``folder`` first, whose files could fill the memory.

    Raises:
        ToxauditError: if it takes more memory or time than any real one, or can't be read.
    """
    check_counts(f"{where} can't be loaded", folder)
    try:
        limited.run("read", READ_SECONDS, folder=str(folder), texts=[*PROBES, printable])
    except TimeoutError as error:
        raise ToxauditError(f"{where} can't be loaded: its tokenizer was {error}.") from error
    except limited.Failed as error:
        raise ToxauditError(f"{where} can't be loaded: its tokenizer fails: {error}.") from error
