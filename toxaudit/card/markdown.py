"""A result as a Markdown section: Jinja places the words, and every word that is placed is made harmless first."""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from traceback import extract_tb
from typing import TYPE_CHECKING, Any

from toxaudit.card import apart
from toxaudit.card.facts import CardFacts, gather
from toxaudit.errors import ToxauditError, did_you_mean, visible
from toxaudit.findings import AuditResult
from toxaudit.machine import folders

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

LONGEST_CHARACTERS = 10_000_000
"""Of what a template makes; a report of thousands of estimates has a few millions."""

TEMPLATE_MISTAKES = (TypeError, ValueError, ArithmeticError, LookupError, AttributeError, RecursionError)
"""What Python raises where a template computes with what can't be computed with."""

BEGIN, END = "<!-- toxaudit:begin -->", "<!-- toxaudit:end -->"
"""The lines between which the section stands in somebody's README."""

PLOTS = "toxaudit/"
"""Where plots lie, as seen from a card."""

_INTERVAL = re.compile(r"(\[−?\d[\d.]*,[ \xa0]−?\d[\d.]*\](?![(\[:]))")
_ACTIVE = re.compile(r"[\\`*{}\[\]<&|#~$!@\"]|(?<![^\W_])_|_(?![^\W_])|(?<=:)//|(?<=www)\.")
_LEADING = re.compile(r"^(\s*)(?:(>)|([-+=:])(?=[\s=:-]|$)|(\d+)([.)])(?=\s|$))")
_WITHIN_NUMBER = re.compile(r"(?<=\d) (?=%|pp\b)|(?<=[<>=]) (?=[+−\d])|(?<=[●◆△]) |(?<=\d,) (?=−?[\d.]+\])")
_NOT_IN_BACKTICKS = frozenset("`|<>&\\")


def texts(result: AuditResult) -> CardFacts:
    """The facts of a card, as texts that are harmless wherever a template places them."""
    facts: CardFacts = _texts(gather(result))
    return facts


def render_card(result: AuditResult, template: str = "section.md.jinja", card: CardFacts | None = None) -> str:
    """The card section of an audit, between its two marker lines, ending in a line feed.

    Args:
        result: what the audit found.
        template: a template's name, for which the user's own ``templates`` folder is searched first, or its path.
        card: the ``texts`` of the result, where they are at hand.

    Raises:
        ToxauditError: if there is no such template, or it has a mistake.
    """
    placed = {"card": card or texts(result), "begin": _safe(BEGIN), "end": _safe(END), "plots": _safe(PLOTS)}
    return _tidy(render(template, placed, finalize=_placed))


def render_beside(result: AuditResult, template: str = "section.md.jinja", card: CardFacts | None = None) -> str:
    """As ``render_card``, for a file that lies with the plots and is nobody's README: without marker lines.

    Raises:
        ToxauditError: if there is no such template, or it has a mistake.
    """
    placed = {"card": card or texts(result), "begin": _safe(""), "end": _safe(""), "plots": _safe("")}
    return _tidy(render(template, placed, finalize=_placed)).lstrip("\n")


def render_summary(result: AuditResult, template: str = "summary.md.jinja", card: CardFacts | None = None) -> str:
    """An audit in one paragraph of Markdown, ending in a line feed.

    Raises:
        ToxauditError: if there is no such template, or it has a mistake.
    """
    text = render(template, {"card": card or texts(result)}, finalize=_placed)
    return re.sub("[ \n]+", " ", text).strip(" ") + "\n"


def render_job(result: AuditResult, template: str = "job.md.jinja") -> str:
    """What a CI server shows of an audit, in Markdown, ending in a line feed.

    Raises:
        ToxauditError: if there is no such template, or it has a mistake.
    """
    return _tidy(render(template, {"card": texts(result)}, finalize=_placed))


def render_whole(
    result: AuditResult, section: str, template: str = "model_card.md.jinja", card: CardFacts | None = None
) -> str:
    """A whole card around the section of one candidate, with metadata that the Hub reads, ending in a line feed.

    Raises:
        ToxauditError: if there is no such template, or it has a mistake.
    """
    from toxaudit.card.readme.front_matter import as_yaml
    from toxaudit.card.readme.metadata import metadata

    front = as_yaml(metadata(result))
    placed = {
        "card": card or texts(result),
        "metadata": _safe(f"---\n{front}---"),
        "section": _safe(section.rstrip("\n")),
    }
    return _tidy(render(template, placed, finalize=_placed))


def _tidy(text: str) -> str:
    """One empty line where a template leaves several: no value that is placed has any."""
    return re.sub(r"\n{3,}", "\n\n", text).rstrip("\n") + "\n"


def render(name: str, values: Mapping[str, object], finalize: Callable[[object], object] | None = None) -> str:
    """A template filled with values. Autoescape is on, and a template can't reach beyond what it is given.

    Args:
        name: the template's name, or its path.
        values: what it may place.
        finalize: what to do to each value just before it is placed.

    Raises:
        ToxauditError: if there is no such template, or it has a mistake.
    """
    if _beside(name) or len(folders.search_path("templates")) > 1:
        return apart.render(name, values, finalize)
    return fill(name, values, finalize)


def fill(name: str, values: Mapping[str, object], finalize: Callable[[object], object] | None = None) -> str:
    """As ``render``, in this process, where nothing ends a template that does not."""
    parts: list[str] = []
    length = 0
    with environment_of(name, finalize) as environment:
        for part in environment.get_template(Path(name).name).generate(values):
            parts.append(part)
            length += len(part)
            if length > LONGEST_CHARACTERS:
                raise ToxauditError(f"The template '{name}' makes more than {LONGEST_CHARACTERS:,} characters.")
    return "".join(parts)


def _beside(name: str) -> list[Path]:
    """The folder of a template that is named by its path."""
    path = Path(name).expanduser()
    return [path.parent] if path.name != name else []


def _line(error: BaseException, name: str) -> str:
    """Where in a template it went wrong, as far as that is known."""
    frames = [frame.lineno for frame in extract_tb(error.__traceback__) if Path(frame.filename).name == Path(name).name]
    return f", line {frames[-1]}" if frames else ""


def check(name: str, page: bool = False) -> None:
    """Refuse a template that does not exist or does not parse, before an audit spends anything.

    Args:
        name: the template's name, or its path.
        page: whether it is that of a page, and not of Markdown: it is compiled as it will be filled, and only once.

    Raises:
        ToxauditError: if there is no such template, or it does not parse.
    """
    with environment_of(name, None if page else _placed) as environment:
        environment.get_template(Path(name).name)


@contextmanager
def environment_of(name: str, finalize: Callable[[object], object] | None = None) -> "Iterator[Environment]":
    """Where templates are found and what they may do; mistakes in them become sentences.

    A template that is named by its path may include those of its folder. Its name ends in ``.jinja``, so that nothing
    else of a machine gets into a card by mistake or malice.
    """
    if not name.endswith(".jinja"):
        raise ToxauditError(f"'{name}' is no name of a template: it must end in .jinja.")
    from jinja2 import FileSystemLoader, StrictUndefined, TemplateError, TemplateNotFound
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    from toxaudit.card.compiled import compiled

    class Sandbox(ImmutableSandboxedEnvironment):
        intercepted_binops = frozenset(ImmutableSandboxedEnvironment.default_binop_table)  # none while it is compiled

    environment = Sandbox(
        loader=FileSystemLoader([*_beside(name), *folders.search_path("templates")]),
        undefined=StrictUndefined,
        autoescape=True,
        finalize=finalize,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        bytecode_cache=compiled(finalize),
    )
    environment.filters.update(code=code, fenced=fenced, unbroken=unbroken, csp_hash=csp_hash)
    try:
        yield environment
    except UnicodeDecodeError as error:
        raise ToxauditError(f"The template '{name}' is not UTF-8: {error.reason} at byte {error.start}.") from error
    except TemplateNotFound as error:
        missing = name if error.name in (None, Path(name).name) else str(error.name)
        known = [file.name for folder in folders.search_path("templates") for file in folder.glob("*.jinja")]
        raise ToxauditError(f"There is no template '{missing}'.{did_you_mean(missing, known)}") from error
    except TemplateError as error:
        line = getattr(error, "lineno", None)
        where = f"'{getattr(error, 'name', None) or name}'" + (f", line {line}" if line else "")
        raise ToxauditError(f"The template {where} has a mistake: {error.message or error}.") from error
    except TEMPLATE_MISTAKES as error:
        raise ToxauditError(f"The template '{name}'{_line(error, name)} has a mistake: {error}.") from error


def escape(text: str) -> str:
    """Text on one line that Markdown shows as it is, at the start of a line, within one, or in a table's cell.

    Entities are used, for no Markdown parser takes one for structure. An interval such as ``[0.9, 4.1]`` stays as it
    is, since no link can be made of it.
    """
    blank = "\ufffd" if text else ""
    parts = _INTERVAL.split(visible(text).strip() or blank)
    parts[::2] = [_ACTIVE.sub(lambda found: _entities(found[0]), part) for part in parts[::2]]
    return _LEADING.sub(_defused, "".join(parts))


def code(text: str) -> "Markup":
    """Text in the typeface of code, as it is, on one line."""
    line = visible(text).strip()
    simple = line and line.isascii() and _NOT_IN_BACKTICKS.isdisjoint(line)
    return _safe(f"`{line}`" if simple else f"<code>{escape(line)}</code>")


def fenced(text: str, language: str = "") -> "Markup":
    """A block of code that holds one line of text, whatever backticks are in it; it can't hold a marker line."""
    line = visible(text).strip().replace("<!--", "<! --")
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", line)), default=0))
    return _safe(f"{fence}{language}\n{line}\n{fence}")


def unbroken(text: object) -> str:
    """Text in which a number, its unit and its interval's bounds are not torn apart at a line's end."""
    return Text(_WITHIN_NUMBER.sub("\xa0", str(text)))


def csp_hash(style: str) -> str:
    """The source expression by which a Content-Security-Policy allows exactly this style sheet and no other."""
    from base64 import b64encode
    from hashlib import sha256

    return f"sha256-{b64encode(sha256(style.encode()).digest()).decode()}"


class Text(str):
    """A text that Jinja, too, escapes for Markdown wherever it joins it to markup."""

    def __html__(self) -> str:
        return escape(self)


def _texts(value: Any) -> Any:
    """Facts whose strings, at any depth, are texts."""
    if isinstance(value, str):
        return Text(value)
    if isinstance(value, tuple):
        return tuple(map(_texts, value))
    if isinstance(value, dict):
        return {key: _texts(each) for key, each in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{each.name: _texts(getattr(value, each.name)) for each in fields(value)})
    return value


def _placed(value: object) -> Any:
    """A value as Markdown: what a filter or a macro made already stays; everything else is escaped."""
    return value if hasattr(value, "__html__") else Text(value)


def _safe(text: str) -> "Markup":
    from markupsafe import Markup

    return Markup(text)


def _entities(text: str) -> str:
    named = {"<": "&lt;", "&": "&amp;", '"': "&quot;"}
    return named.get(text) or "".join(f"&#{ord(character)};" for character in text)


def _defused(found: re.Match[str]) -> str:
    space, quote, mark, number, dot = found.groups()
    return space + ("&gt;" if quote else _entities(mark) if mark else f"{number}{_entities(dot)}")
