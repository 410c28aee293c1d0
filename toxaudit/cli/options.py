"""How every verb reads its words: options by argparse, each mistake in one sentence, and a help of its own."""

import argparse
import textwrap
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from toxaudit.cli.help import Help
from toxaudit.errors import ToxauditError, did_you_mean

COLUMNS = 120
"""Characters of the longest line of a help."""


class Options(argparse.ArgumentParser):
    """The words and options that a verb takes.

    Words that are no options, such as overrides, are left as they are. What is not given has no value here: defaults
    stand where the values are used, such as in a dataclass.
    """

    def __init__(
        self, verb: str, form: str, about: str, *, where: str = "", words: int | None = None, keys: bool = False
    ) -> None:
        """Describe a verb.

        Args:
            verb: its name; empty for what ``toxaudit`` does without one.
            form: what is to follow the verb, such as ``RUN --repo ORG/NAME``.
            about: what the verb does, in whole sentences.
            where: what the form's words mean, as the end of a sentence: "Write `toxaudit VERB FORM`, with ...".
            words: how many words that are no options there must be; None for any number.
            keys: options are written ``name=value`` instead of ``--name value``, and there are no other words.
        """
        super().__init__(f"toxaudit {verb}".strip(), add_help=False, allow_abbrev=False, exit_on_error=False)
        self.verb, self.form, self.about, self.where = verb, form, about, where
        self.words, self.keys = words, keys
        self.known: list[argparse.Action] = []
        self.required: set[str] = set()
        self.repeated: set[str] = set()

    def flag(self, *names: str, help: str) -> None:
        """Add an option without a value; it is True where it is given.

        Args:
            names: how it may be written, such as ``--dry-run``.
            help: what it does.
        """
        self.known.append(
            self.add_argument(*names, action="append_const", const=True, default=argparse.SUPPRESS, help=help)
        )

    def value(
        self,
        name: str,
        value: str,
        *,
        help: str,
        read: Callable[[str], Any] = str,
        to: str | None = None,
        required: bool = False,
        repeated: bool = False,
    ) -> None:
        """Add an option with a value.

        Args:
            name: the option, without dashes.
            value: what stands for the value in the help.
            help: what it says.
            read: makes the value of a text that is not blank; raises a ToxauditError if it can't be meant.
            to: by which name the value is returned, if not the option's.
            required: whether it must be given.
            repeated: it may be given several times. What is returned is a list, of the values of all options that go
                ``to`` the same name, in the order in which they are given.
        """

        def checked(text: str) -> Any:
            if not text.strip():
                raise ToxauditError(self._without_value(name))
            return read(text)

        option = self.add_argument(f"--{name}", action="append", default=argparse.SUPPRESS, help=help)
        option.metavar, option.type, option.dest = value, checked, to or option.dest
        self.known.append(option)
        self.required |= {option.dest} if required else set()
        self.repeated |= {option.dest} if repeated else set()

    def read(self, words: Sequence[str]) -> tuple[list[str], dict[str, Any]]:
        """Part the words that follow the verb.

        Returns:
            The words that are no options; and what the options say, by name.

        Raises:
            ToxauditError: if this verb has no such option, one is given twice or lacks its value, or there are too few
                words or too many.
            Help: if the help is asked for.
        """
        if not {"-h", "--help"}.isdisjoint(words):
            raise Help(self.format_help())
        if odd := next((word for word in words if word == "--" or (self.keys and word.startswith("-"))), None):
            raise ToxauditError(f"There is no option '{odd}': see `{self.prog} --help`.")
        try:
            given, others = self.parse_known_args([_as_option(word) for word in words] if self.keys else words)
        except argparse.ArgumentError as error:
            raise ToxauditError(self._misused(error, words)) from error
        if odd := next((word for word in others if word.startswith("-")), None):
            raise ToxauditError(self._unknown(odd))
        if self.words not in (None, len(others)) or not self.required <= set(vars(given)):
            raise self.miswritten()
        return others, {option.dest: self._single(option, given) for option in self.known if option.dest in given}

    def miswritten(self) -> ToxauditError:
        """What to answer to too few words, or too many."""
        return ToxauditError(f"Write `{self.prog} {self.form}`, with {self.where}.")

    def format_help(self) -> str:
        """What the verb does, and each of its options."""
        forms = {self._form(option): str(option.help) for option in self.known}
        width = max(map(len, forms), default=0)
        lines = [f"{self.prog} {self.form}", "", *_wrapped(self.about, COLUMNS), *[""][: len(forms)]]
        for form, said in forms.items():
            first, *more = _wrapped(said, COLUMNS - width - 4)
            lines += [f"  {form:<{width}}  {first}", *(f"{'':{width + 4}}{line}" for line in more)]
        return "\n".join(lines) + "\n"

    def error(self, message: str) -> NoReturn:
        """Refuse what argparse finds wrong with no option in particular; its own way is to end the process."""
        raise ToxauditError(f"{self.prog}: {message}.")

    def _name(self, option: argparse.Action) -> str:
        return option.option_strings[0].removeprefix("--" if self.keys else "")

    def _form(self, option: argparse.Action) -> str:
        """How an option is written."""
        if option.nargs == 0:
            return ", ".join(option.option_strings)
        return f"{self._name(option)}{'=' if self.keys else ' '}{option.metavar}"

    def _single(self, option: argparse.Action, given: argparse.Namespace) -> Any:
        """What an option says, if it is given once."""
        first, *more = found = getattr(given, option.dest)
        if option.dest in self.repeated:
            return found
        if more:
            form = self._name(option) if option.nargs == 0 else self._form(option)
            raise ToxauditError(f"{self._name(option)} is given twice: write {form} once.")
        return first

    def _without_value(self, name: str) -> str:
        option, between = (name, "=") if self.keys else (f"--{name}", " ")
        return f"{option} needs a value: write {option}{between}VALUE."

    def _misused(self, error: argparse.ArgumentError, words: Sequence[str]) -> str:
        """A sentence for an option that lacks its value, or has one but takes none."""
        option = next(option for option in self.known if "/".join(option.option_strings) == error.argument_name)
        if option.nargs != 0:
            return self._without_value(option.option_strings[0].removeprefix("--"))
        starts = {name + "=" * name.startswith("--"): name for name in option.option_strings}
        word, name = next((word, starts[start]) for word in words for start in starts if word.startswith(start))
        return f"{name} takes no value: leave out '{word.removeprefix(name)}'."

    def _unknown(self, word: str) -> str:
        """A sentence for a word that begins as options do, with the nearest option that there is."""
        option, known = word.partition("=")[0], [name for each in self.known for name in each.option_strings]
        if self.keys:
            names = [name.removeprefix("--") for name in known]
            return f"{self.verb} has no key '{option[2:]}'.{did_you_mean(option[2:], names)}"
        if not known or not self.verb:
            return f"There is no option '{word}': see `{self.prog} --help`."
        return f"{self.verb} has no option '{option}'.{did_you_mean(option, known)}"


def _as_option(word: str) -> str:
    """``name=value`` as argparse reads it. A word without = gets one, else argparse looks for a value behind it."""
    name, _, value = word.partition("=")
    return f"--{name}={value}"


def _wrapped(text: str, columns: int) -> list[str]:
    return textwrap.wrap(text, columns, break_on_hyphens=False, break_long_words=False)
