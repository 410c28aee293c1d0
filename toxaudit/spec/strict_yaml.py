"""YAML in which a key that stands twice is a mistake: one of the two would silently do nothing."""

from pathlib import Path
from typing import Any

import yaml

from toxaudit.errors import ToxauditError


class _UniqueKeys(yaml.SafeLoader):
    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
        if twice := next((key for key in keys if keys.count(key) > 1), None):
            raise yaml.constructor.ConstructorError(None, None, f"the key '{twice}' stands twice", node.start_mark)
        return super().construct_mapping(node, deep)


def read(file: Path) -> dict[str, Any]:
    """The mapping that a YAML file holds.

    Raises:
        ToxauditError: if it can't be read, is not valid YAML, or holds no mapping.
    """
    try:
        content = yaml.load(file.read_text(encoding="utf-8"), _UniqueKeys)  # noqa: S506  (a SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise ToxauditError(f"{file}{line} is not valid YAML: {getattr(error, 'problem', error)}.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ToxauditError(f"{file} can't be read: {getattr(error, 'strerror', None) or error}.") from error
    if not isinstance(content, dict):
        raise ToxauditError(f"{file} holds no keys: it must be a YAML mapping such as 'title: ...'.")
    return content
