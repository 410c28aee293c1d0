"""An importer: logs of chats, one JSON object a line with ``question``, ``reply`` and ``rude`` (0 or 1)."""

from pathlib import Path

from toxaudit.errors import ToxauditError
from toxaudit.interop.importers.base import Imported, Metric, Place, Row, clean, content, number
from toxaudit.interop.importers.reading import first, lines
from toxaudit.registry import register


@register("importer", "chat_logs")
class ChatLogs:
    """Reads logs of chats, ``*.chat.jsonl``."""

    takes = ""

    def recognises(self, path: Path) -> bool:
        """Whether a file is such a log, by its name and its first line."""
        row = first(path) if path.name.endswith(".chat.jsonl") else None
        return isinstance(row, dict) and {"question", "reply", "rude"} <= row.keys()

    def read(self, place: Place) -> Imported:
        """The answers of one log."""
        rows = []
        for where, line in lines(place.path):
            if not {"question", "reply", "rude"} <= line.keys():
                raise ToxauditError(f"{where}: a line must hold 'question', 'reply' and 'rude'.")
            question, reply = clean(line["question"]), clean(line["reply"])
            rows.append(Row("chats", content(question), question, reply, {"rude": number(line["rude"])}))
        return Imported("chat logs", "", place.path.name, tuple(rows), metrics={"rude": Metric("high", 0.5)})
