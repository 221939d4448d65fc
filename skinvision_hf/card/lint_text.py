"""The lint of a card's text, which is parsed as the Hub parses it: as CommonMark with tables and HTML."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

from markdown_it import MarkdownIt
from markdown_it.token import Token

__all__ = ["PLACEHOLDER", "text_faults"]

MARKDOWN = MarkdownIt("commonmark").enable("table")
PLACEHOLDER = re.compile(r"\{\{|\}\}|\{%|%\}|\[More Information Needed\]|\bTODO\b|\bFIXME\b|\bXXX\b|\bTBD\b")
# What Python, NumPy and JavaScript print for what is no number; and None and null only where a number would stand.
NOT_A_NUMBER = re.compile(r"(?<!\w)(?<!\w-)[+-]?(?:nan|NaN|NAN|inf|Inf|INF|Infinity|INFINITY)(?![\w-])")
NO_INTERVAL = re.compile(r"\((?:None|null) to [^)]*\)|\([^)]* to (?:None|null)\)")
NO_VALUES = ("None", "null", "undefined")
DANGLING = re.compile(r"\[[^\[\]]+\]\[[^\[\]]*\]")
PICTURE = re.compile(r"\.(?:png|jpe?g|gif|svg|webp)$", re.IGNORECASE)
NAMED = re.compile(r"(?<![\w/.-])[\w.-][\w./-]*\.(?:png|jpe?g|gif|svg|webp|csv|jsonl?)\b", re.IGNORECASE)
ADDRESS = re.compile(r"\w+://\S+")
SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:|//", re.IGNORECASE)


@dataclass(frozen=True)
class Piece:
    """A run of text of a card.

    Attributes:
        line: Its line in the file.
        text: What a reader sees, without inline code.
        code: Its inline code.
        cell: Whether it is a cell of a table.
        heading: All of it, with its inline code, if it is a heading.
    """

    line: int
    text: str
    code: tuple[str, ...] = ()
    cell: bool = False
    heading: str = ""


@dataclass(frozen=True)
class Parsed:
    """A card's text as the lint sees it.

    Attributes:
        pieces: All text outside of code blocks.
        targets: Where links and pictures lead.
        anchors: Names in the text that links can lead to.
    """

    pieces: tuple[Piece, ...]
    targets: frozenset[str]
    anchors: frozenset[str]


def text_faults(text: str, folder: Path, *, first_line: int, sections: Iterable[str]) -> Iterator[str]:
    """Find the faults of a text.

    Args:
        text: Markdown, without the metadata.
        folder: Where its files are.
        first_line: Line of the file on which it starts.
        sections: Titles of the sections that it must have.
    """
    parsed = _parse(text, first_line)
    for number, line in enumerate(text.splitlines(), start=first_line):
        if match := PLACEHOLDER.search(line):
            yield f"line {number} has an unresolved placeholder: {match.group()}"
    headings = {piece.heading for piece in parsed.pieces}
    yield from (f"the section '{name}' is missing" for name in sections if name not in headings)
    if not re.search(r"not a medical\s+device", text, re.IGNORECASE):
        yield "nothing says that this is not a medical device"
    for piece in parsed.pieces:
        yield from (f"line {piece.line} shows {value} where a value belongs" for value in _no_values(piece))
        yield from (f"line {piece.line}: the reference {link} leads nowhere" for link in DANGLING.findall(piece.text))
    named = {name for piece in parsed.pieces for run in (piece.text, *piece.code) for name in _named(run)}
    yield from _target_faults(parsed.targets | named, parsed.anchors, folder)


def _no_values(piece: Piece) -> Iterator[str]:
    for pattern in (NOT_A_NUMBER, NO_INTERVAL):
        yield from pattern.findall(piece.text)
    if piece.cell and piece.text.strip() in NO_VALUES:
        yield piece.text.strip()


def _named(text: str) -> list[str]:
    """Files that a text names, beside addresses of the web."""
    return NAMED.findall(ADDRESS.sub(" ", text))


def _target_faults(targets: Iterable[str], anchors: frozenset[str], folder: Path) -> Iterator[str]:
    root = folder.resolve()
    for target in sorted(targets):
        name = unquote(re.split(r"[?#]", target, maxsplit=1)[0])
        if target.startswith("#"):
            if target[1:] not in anchors:
                yield f"the link {target} leads to no section"
        elif not SCHEME.match(target):
            path = (root / name).resolve()
            if not path.exists() or not path.is_relative_to(root):
                kind = "figure" if PICTURE.search(name) else "link"
                yield f"the {kind} {target} is named but not in the folder"


def _parse(text: str, first_line: int) -> Parsed:
    environment: dict[str, dict[str, dict[str, str]]] = {}
    tokens = MARKDOWN.parse(text, environment)
    html, line = _Html(), first_line
    pieces: list[Piece] = []
    # Definitions of references lead somewhere even if nothing refers to them.
    targets = {definition["href"] for definition in environment.get("references", {}).values()}
    for before, token in zip([Token("", "", 0), *tokens], tokens, strict=False):
        line = token.map[0] + first_line if token.map else line
        if token.type == "inline":
            children = token.children or []
            pieces += _pieces(children, line, before.type)
            targets |= {str(c.attrs[key]) for c in children for key in ("href", "src") if key in c.attrs}
            html.feed("".join(child.content for child in children if child.type == "html_inline"))
        elif token.type == "html_block":
            html.feed(token.content)
    pieces += [Piece(line, text) for text in html.texts]
    anchors = html.names | {_anchor(piece.heading) for piece in pieces if piece.heading}
    return Parsed(tuple(pieces), frozenset(targets | html.targets), frozenset(anchors))


def _pieces(children: Sequence[Token], line: int, before: str) -> Iterator[Piece]:
    """The lines of a block; `before` is the kind of the token that opened it."""
    cell, heading = before in ("td_open", "th_open"), before == "heading_open"
    run: list[Token] = []
    for child in [*children, Token("softbreak", "br", 0)]:
        if child.type not in ("softbreak", "hardbreak"):
            run.append(child)
            continue
        codes = tuple(token.content for token in run if token.type == "code_inline")
        text = "".join(token.content for token in run if token.type in ("text", "image"))
        title = "".join(token.content for token in run if token.type in ("text", "code_inline")).strip()
        yield Piece(line, text, codes, cell=cell, heading=title if heading else "")
        line, run = line + 1, []


class _Html(HTMLParser):
    """Collects where the HTML of a text leads, the names that it gives to places, and its own text."""

    def __init__(self) -> None:
        super().__init__()
        self.targets: set[str] = set()
        self.names: set[str] = set()
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Look at the attributes of a tag."""
        values = {key: value for key, value in attrs if value}
        self.targets |= {values[key] for key in ("href", "src") if key in values}
        self.names |= {values[key] for key in ("id", "name") if key in values}

    def handle_data(self, data: str) -> None:
        """Keep the text between tags."""
        self.texts += [data] if data.strip() else []


def _anchor(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")
