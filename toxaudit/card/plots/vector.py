"""A figure's SVG as one small element that may stand inside any page, also under a strict Content-Security-Policy."""

import re
from collections.abc import Iterator
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

_REFERENCE = re.compile(r"(^|url\()#([^)]+)")
_PLACES = {"d", "x", "y"}


def compact(text: str, name: str) -> str:
    """The ``svg`` element of a document that matplotlib wrote, without all that a page does not need or forbids.

    Styles become attributes, since a page may forbid styles. Ids that are referred to become ``name-1``, ``name-2``,
    ..., unique in a page; others go. So do comments, which hold strangers' names. Places are rounded to 0.01 points.
    """
    root = ElementTree.fromstring(text)
    ids: dict[str, str] = {}
    for element in root.iter():
        for value in element.attrib.values():
            for _, found in _REFERENCE.findall(value):
                ids.setdefault(found, f"{name}-{len(ids) + 1}")
    for element in root.iter():
        element.text = element.tail = None
        for child in list(element):
            if _local(child.tag) in ("style", "metadata"):
                element.remove(child)
    for element in root.iter():
        attributes = dict(_attributes(element, ids))
        element.tag = _local(element.tag)
        element.attrib.clear()
        element.attrib.update(attributes)
    root.attrib.update({"xmlns": "http://www.w3.org/2000/svg", "stroke-linejoin": "round", "stroke-linecap": "butt"})
    return ElementTree.tostring(root, encoding="unicode")


def _local(name: str) -> str:
    """The name of a tag or an attribute without its namespace."""
    return name.rpartition("}")[2]


def _attributes(element: Element, ids: dict[str, str]) -> Iterator[tuple[str, str]]:
    for key, value in element.attrib.items():
        if key == "id":
            if value in ids:
                yield "id", ids[value]
        elif key == "style":
            for declaration in filter(None, value.split(";")):
                property_, _, set_to = declaration.partition(":")
                yield property_.strip(), set_to.strip()
        elif key in _PLACES:
            yield key, re.sub(r"-?\d+\.\d{3,}", _rounded, " ".join(value.split()))
        else:
            yield _local(key), _REFERENCE.sub(lambda found: f"{found[1]}#{ids[found[2]]}", value)


def _rounded(number: re.Match[str]) -> str:
    return f"{float(number[0]):.2f}".rstrip("0").rstrip(".")
