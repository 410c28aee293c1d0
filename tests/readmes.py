"""READMEs as owners write them, for property tests: every line ending, front matter, code that shows our markers."""

from dataclasses import dataclass

from hypothesis import strategies as st

BEGIN, END = "<!-- toxaudit:begin -->", "<!-- toxaudit:end -->"
SECTION = f"{BEGIN}\n## Safety audit\n\n**GO**: äöü 🙂\n\n```bash\ntoxaudit audit=mine\n```\n{END}\n"
LATER = f"{BEGIN}\n## Safety audit\n\n**NO-GO**: it rose.\n{END}\n"

METADATA = (
    "license: llama3.1   # keep me",
    "version: 1.10",
    'thumbnail: "https://example.org/a?b=c#d"',
    "# a comment of the owner's",
    "tags: [lora, 'no']",
    "tags: [ lora ]  # short",
    "tags:\n- lora\n\n# between\n- 'no'   # not false",
    "tags:\n  - text\n",
    "base_model: meta-llama/Llama-3.1-8B-Instruct",
    "base_model:\n- org/theirs\n- org/others",
    "base_model_relation: merge",
    f"description: |\n  A text\n  {BEGIN}\n  with our marker in it\n",
    "summary: >-\n  folded\n  text",
    "widget:\n  - text: 'Hi: there'\n    output: {url: a.png}",
    "empty:",
    "emoji: 🧪",
    "model-index:\n- name: theirs\n  results:\n  - task:\n      type: text-generation\n"
    "    dataset: {name: X, type: org/x}\n    metrics:\n      - type: accuracy   # of ours\n        value: 71.10\n",
    "model-index:\n  - name: theirs\n    results:\n      - task: {type: t}\n        dataset: {name: X, type: x}\n"
    "        metrics: []\n      # last",
    "model-index: [{name: a, results: []}]",
)
"""Pieces of front matter; of those with the same key only one is taken."""

BLOCKS = (
    "# My model 🚀",
    "Some text\nover two lines, with `code` and | pipes |.",
    f"```html\n{BEGIN}\nshown\n{END}\n```",
    f"````md\n```\n{BEGIN}\n```\nstill code\n{END}\n`````",
    f"~~~\n```\n{END}\n~~~~  ",
    f"   ```\n   {BEGIN}\n   ```",
    f"text\n\n    {BEGIN}\n\ntext",
    f"\t{END}",
    f"> ```\n> {BEGIN}\n> ```",
    f"1. do this:\n   ```\n   {END}\n   ```\n2. done",
    f"- ```\n  {BEGIN}\n  ```\n- next",
    f"- a\n  - b\n    ```\n    {END}\n    ```",
    "- a\n  ```\n  never closed, but its list item ends\nhere",
    f"text {BEGIN} text",
    f"{END} text",
    "<!-- toxaudit:beginning -->",
    "<!--\na comment\n```\nthat is no code\n-->",
    f"<pre>\n```\n\n{BEGIN}\n</pre>",
    f"<?php\n{END}\n?>",
    "<br>\n```\n  that is no code",
    "text\n<br>\n```\nthat is code\n```",
    "<div align='center'>\n```\nnor this\n</div>",
    "``` a `tick` in the info string is no fence",
    "| a | b |\n|--|--|\n| 1 | 2 |",
    "---",
    "* * *",
    "\u202eright to left\u202c and \u200b zero width",
    "trailing spaces   \n",
    "FOREIGN",
)


@dataclass(frozen=True, repr=False)
class Readme:
    """A README's bytes in two parts, between which its owner has put the section, if at all."""

    before: bytes
    after: bytes
    has_section: bool

    @property
    def data(self) -> bytes:
        return self.before + SECTION.rstrip().encode() * self.has_section + self.after

    def __repr__(self) -> str:
        return f"Readme({self.before[:2000]!r}, {self.after[:2000]!r}, {self.has_section})"


@st.composite
def front_matters(draw: st.DrawFn) -> str:
    pieces: dict[str, str] = {}
    for piece in draw(st.lists(st.sampled_from(METADATA), max_size=6)):
        pieces.setdefault(piece.partition(":")[0], piece)
    return "---\n" + "".join(piece.rstrip("\n") + "\n" for piece in pieces.values()) + "---\n"


@st.composite
def bodies(draw: st.DrawFn) -> str:
    words = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=40).map(lambda text: f"w{text}")
    blocks = "\n\n".join(draw(st.lists(st.sampled_from(BLOCKS) | words, max_size=6)))
    blocks = blocks if not blocks.startswith("---") else f"Title\n{blocks}"  # at the top it would open front matter
    large = blocks and draw(st.integers(0, 99)) == 57  # Hypothesis is fond of bounds
    times = 1_000_000 // len(blocks) if large else 1
    return "\n\n".join([blocks] * times)


@st.composite
def readmes(draw: st.DrawFn, foreign_bytes: bool = True) -> Readme:
    """A README; some hold a section already, some are 1 MB, some hold bytes that are no UTF-8."""
    start = draw(st.sampled_from(["", "\ufeff"])) + draw(st.just("") | front_matters())
    has_section = draw(st.booleans())
    body, tail = draw(bodies()), draw(bodies()) if has_section else ""
    before, after = start + body + "\n\n" * has_section, "\n\n" * has_section + tail
    final = draw(st.sampled_from(["", "\n", "\n\n"]))
    if has_section:
        after += final
    else:
        before += final
    ending = draw(st.sampled_from(["\n", "\r\n", "mixed"]))
    rnd = draw(st.randoms(use_true_random=False)) if ending == "mixed" else None

    def ended(text: str) -> bytes:
        lines = text.split("\n")
        ends = [rnd.choice(["\n", "\r\n"]) if rnd else ending for _ in lines[1:]] + [""]
        data = "".join(line + end for line, end in zip(lines, ends, strict=True)).encode()
        return data.replace(b"FOREIGN", b"\xff\xfe caf\xe9 \x80") if foreign_bytes else data

    return Readme(ended(before), ended(after), has_section)
