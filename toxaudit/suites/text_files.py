"""Prompts in plain text files, one a line; what varies in the files' names is a slice."""

import re

from toxaudit.errors import ToxauditError
from toxaudit.records import Prompt
from toxaudit.registry import register
from toxaudit.sources import Fetched, parse
from toxaudit.suites.base import BaseSuite, read_lines, text_of


@register("suite", "text_files")
class TextFiles(BaseSuite):
    """One prompt a line.

    Attributes:
        files: the files' names, with the slice's name in braces where they vary: ``rtp_{category}.txt``.
    """

    files: str = "{category}.txt"

    def prompts(self, name: str) -> tuple[list[Prompt], Fetched]:
        """Fetch and read the files; blank lines are skipped.

        Raises:
            ToxauditError: no file has such a name, or a line is no prompt.
        """
        fetched = parse(self.data, self.revision, repo_type="dataset").fetch()
        pattern = self._pattern(name)
        prompts = []
        for file in sorted(fetched.path.iterdir()) if fetched.path.is_dir() else []:
            if not (found := pattern.fullmatch(file.name)) or not file.is_file():
                continue
            for number, line in enumerate(read_lines(file), start=1):
                if line.strip():
                    text = text_of(line, f"{file.name}, line {number}")
                    prompts.append(Prompt(f"{file.stem}:{number}", name, text, found.groupdict()))
        if not prompts:
            raise ToxauditError(f"suite '{name}': {fetched.reference} has no prompts in files named '{self.files}'.")
        return self.select(prompts, f"suite '{name}'"), fetched

    def _pattern(self, name: str) -> re.Pattern[str]:
        try:
            return re.compile(re.sub(r"\\{(\w+)\\}", lambda found: f"(?P<{found[1]}>.+)", re.escape(self.files)))
        except re.error as error:
            raise ToxauditError(
                f"suite '{name}': files is '{self.files}': what stands in braces must be words, each only once."
            ) from error
