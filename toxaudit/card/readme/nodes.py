"""A front matter's YAML as nodes, which know where in the text they stand; nothing is constructed of them."""

from typing import Any

from toxaudit.errors import ToxauditError

Node = Any  # PyYAML's, whose type stubs lack what nodes have

NULL_TAG = "tag:yaml.org,2002:null"


def parse(text: str, first: int) -> Node:
    """The nodes of a mapping, None of an empty text; to construct values of them a stranger could make costly.

    Args:
        text: the YAML.
        first: the number of its first line in the README, for sentences.

    Raises:
        ToxauditError: if it is no valid YAML, or no mapping.
    """
    import yaml

    from toxaudit.machine.nesting import ShallowLoader

    try:
        root = yaml.compose(text, Loader=ShallowLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise broken(first + (mark.line if mark else 0), str(error.problem or error.context)) from error
    except yaml.reader.ReaderError as error:
        raise broken(first + text.count("\n", 0, error.position), error.reason) from error
    except RecursionError as error:
        raise broken(first, "it is nested too deeply") from error
    if root is None or isinstance(root, yaml.MappingNode):
        return root
    raise broken(first, "it holds no keys")


def broken(line: int, problem: str) -> ToxauditError:
    """What to raise of a front matter that is broken at a line of the README."""
    return ToxauditError(f"README.md, line {line}: the front matter is no valid YAML: {problem}: mend it first.")


def has_anchors(text: str) -> bool:
    """Whether valid YAML says anything by reference to another place."""
    import yaml

    marked = "&" in text or "*" in text
    return marked and any(getattr(event, "anchor", None) for event in yaml.parse(text, Loader=yaml.SafeLoader))


def value_of(node: Node, key: str) -> Node:
    """The value of a mapping's key; None where it has none, or is no mapping."""
    pairs = node.value if is_a(node, "mapping") else []
    return next((value for name, value in pairs if name.value == key), None)


def is_a(node: Node, kind: str) -> bool:
    """Whether it is of a kind: scalar, sequence or mapping."""
    return bool(node.id == kind)


def end_of(node: Node) -> int:
    """Where the last word of a node ends."""
    if node.id == "scalar" or node.flow_style or not node.value:
        return int(node.end_mark.index)
    last = node.value[-1]
    return end_of(last[1] if isinstance(last, tuple) else last)
