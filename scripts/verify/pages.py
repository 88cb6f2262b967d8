"""A markdown page as the suite sees it: sections, blocks, and the closed grammar of their fences."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from markdown_it import MarkdownIt
from markdown_it.token import Token

Database = Literal["sqlite", "postgresql", "mariadb"]
DATABASES: tuple[Database, ...] = ("sqlite", "postgresql", "mariadb")
LANGUAGES = frozenset({"python", "bash", "sql", "http", "toml", "ini", "mako", "json", "yaml", "text"})
PROGRAMS = frozenset({"python", "bash", "sql", "http"})  # languages that are run
LABS: Mapping[str, Database] = {  # servers beside the three, and the database that a section with them runs on
    "pgbouncer": "postgresql",
    "replica": "postgresql",
    "galera": "mariadb",
    "patroni": "postgresql",
    "redis": "postgresql",
    "proxy": "postgresql",
}
KEYS = frozenset({"title", "hl_lines", "queries", "db", "exit", "lab", "partial", "norun"})

_INFO = re.compile(r"^(?P<language>\w+)(?: \{(?P<attributes>[^{}]*)\})?$")
_ATTRIBUTE = re.compile(r"""\s*(?P<key>[\w-]+)=(?:"(?P<quoted>[^"]*)"|(?P<bare>[^\s"']+))""")
_FENCE = re.compile(r"^[ >]*(?:[-*+] +|\d+[.)] +)?(?P<fence>`{3,}|~{3,})(?P<info>[^`]*)$")


class PageError(Exception):
    """A page breaks the grammar.

    Attributes:
        path: The markdown file.
        line: Its line, from 1.
        reason: What is wrong, and what to write instead.
    """

    def __init__(self, path: Path, line: int, reason: str) -> None:
        super().__init__(f"{path}:{line}: {reason}")
        self.path, self.line, self.reason = path, line, reason


@dataclass(frozen=True)
class Block:
    """One fence.

    Attributes:
        line: Line of the opening fence, from 1. Its code starts on the next one.
        group: Number of the run of fences that follow one another without text between them.
        mark: "❌" or "✅" where the text that introduces the group starts with it.
        queries: Announced statements by database; the key "" holds for every other one.
    """

    line: int
    language: str
    code: str
    group: int
    mark: str = ""
    title: str = ""
    queries: Mapping[str, int] = field(default_factory=dict)
    databases: tuple[Database, ...] = DATABASES
    exit: int = 0
    lab: str = ""
    partial: str = ""
    norun: str = ""

    @property
    def code_line(self) -> int:
        return self.line + 1

    @property
    def end_line(self) -> int:
        """Last line of the code."""
        return self.line + len(self.code.splitlines())

    @property
    def kind(self) -> Literal["norun", "excerpt", "file", "program", "output", "data"]:
        """What the suite does with the block."""
        if self.norun:
            return "norun"
        if self.title.startswith("assets/"):
            return "excerpt"
        if self.title:
            return "file"
        if self.language in PROGRAMS:
            return "program"
        return "output" if self.language in {"text", "json"} else "data"

    def queries_on(self, database: Database) -> int | None:
        """Number of statements the block must send on ``database``; None where the page does not say."""
        return self.queries.get(database, self.queries.get(""))


@dataclass(frozen=True)
class Section:
    """An H2 and what stands below it: one program. The preface is the section without a title."""

    title: str
    line: int
    blocks: tuple[Block, ...]


@dataclass(frozen=True)
class Page:
    """A parsed markdown file."""

    path: Path
    title: str
    preface: Section
    sections: tuple[Section, ...]
    headings: tuple[tuple[int, str, int], ...]  # level, text, line

    @property
    def blocks(self) -> Iterator[Block]:
        yield from self.preface.blocks
        for section in self.sections:
            yield from section.blocks

    @property
    def programs(self) -> tuple[Section, ...]:
        """The sections that are run. Each starts with the blocks of the preface; a page without an H2 is one program."""
        own = tuple(section for section in self.sections if section.blocks)
        return own or ((self.preface,) if self.preface.blocks else ())

    def steps(self, section: Section) -> tuple[Block, ...]:
        """The blocks of one program, in order."""
        return section.blocks if section is self.preface else self.preface.blocks + section.blocks


def parse(path: Path) -> Page:
    """Read a page.

    Args:
        path: A markdown file in UTF-8.

    Raises:
        PageError: The file cannot be read, or a fence breaks the grammar.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise PageError(path, 1, f"cannot be read as UTF-8 text: {error}") from None
    tokens = MarkdownIt("commonmark").enable("table").parse(_without_front_matter(text))
    sections: list[tuple[str, int, list[Block]]] = [("", 1, [])]
    headings: list[tuple[int, str, int]] = []
    title, mark, group, fences = "", "", 0, 0
    last_was_fence = False
    for number, token in enumerate(tokens):
        line = (token.map[0] if token.map else 0) + 1
        if token.type == "code_block":
            raise PageError(path, line, "an indented code block is not run; use a fence with a language")
        if token.type == "fence":
            fences += 1
            if not last_was_fence:
                group += 1
            block = _block(path, line, token, group, mark)
            sections[-1][2].append(block)
            last_was_fence = True
            continue
        if token.type == "inline":
            last_was_fence = False
            mark = next((sign for sign in "❌✅" if token.content.lstrip("*_ ").startswith(sign)), "")
            opening = tokens[number - 1]
            introduces = number + 2 < len(tokens) and tokens[number + 2].type == "fence"
            if introduces and not mark and ("❌" in token.content or "✅" in token.content):
                raise PageError(path, line, "start the paragraph with its ❌ or ✅, so that the block below carries it")
            if opening.type == "heading_open":
                level = int(opening.tag[1])
                headings.append((level, token.content, line))
                if level == 1 and not title:
                    title = token.content
                if level == 2:
                    sections.append((token.content, line, []))
        elif token.type in {"hr", "html_block", "table_close"}:
            last_was_fence, mark = False, ""
            if "<pre" in token.content or "<code" in token.content:
                raise PageError(path, line, "code in HTML is not run; use a fence with a language")
    if fences != (counted := _count_fences(text, path)):
        raise PageError(
            path, 1, f"{counted} fences are written and {fences} are read: one is inside another element, or not closed"
        )
    preface, *rest = (Section(name, line, tuple(blocks)) for name, line, blocks in sections)
    return Page(path, title or path.stem, preface, tuple(rest), tuple(headings))


def is_generated(path: Path) -> bool:
    """Whether a page is written by `python -m verify sync --write`: it holds links, and no blocks."""
    return "\n<!-- Generated from " in path.read_text(encoding="utf-8")


def slug(heading: str) -> str:
    """The anchor that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def _without_front_matter(text: str) -> str:
    """Blank the YAML front matter of SKILL.md, so that line numbers stay."""
    if match := re.match(r"---\n.*?\n---\n", text, re.DOTALL):
        return "\n" * match[0].count("\n") + text[match.end() :]
    return text


def _count_fences(text: str, path: Path) -> int:
    """Count fences without the markdown parser, so that the two can be compared.

    Raises:
        PageError: The last one is not closed.
    """
    count, closing, opened = 0, "", 0
    for number, line in enumerate(text.splitlines(), 1):
        match = _FENCE.match(line)
        if closing:
            if match and match["fence"].startswith(closing) and not match["info"].strip():
                closing = ""
        elif match:
            count, closing, opened = count + 1, match["fence"], number
    if closing:
        raise PageError(path, opened, "the fence is not closed")
    return count


def _block(path: Path, line: int, token: Token, group: int, mark: str) -> Block:
    def wrong(reason: str) -> PageError:
        return PageError(path, line, reason)

    match = _INFO.match(token.info.strip())
    if not match:
        raise wrong(
            f"fence {token.info.strip()!r}: write `language` or `language {{key=value ...}}`, braces after one space"
        )
    language = match["language"]
    if language not in LANGUAGES:
        raise wrong(f"unknown language {language!r}; one of {', '.join(sorted(LANGUAGES))}")
    given: dict[str, str] = {}
    text, position = (match["attributes"] or "").rstrip(), 0
    while position < len(text):
        attribute = _ATTRIBUTE.match(text, position)
        if not attribute:
            raise wrong(f'attributes {text[position:].strip()!r}: write key=value or key="some words"')
        key, position = attribute["key"], attribute.end()
        if key not in KEYS:
            raise wrong(f"unknown key {key!r}; one of {', '.join(sorted(KEYS))}")
        if key in given:
            raise wrong(f"key {key!r} is given twice")
        given[key] = attribute["quoted"] if attribute["bare"] is None else attribute["bare"]
    for key in ("norun", "partial"):
        if key in given and len(given[key].split()) < 2:
            raise wrong(f'{key} needs a reason of substance, such as {key}="installs packages"')
    if "norun" in given and "partial" in given:
        raise wrong("norun and partial exclude each other")
    file = given.get("title", "")
    if file and (file.startswith("/") or ".." in Path(file).parts):
        raise wrong(f"title {file!r} must be a path inside the section's folder, or assets/...")
    if not file and language == "mako":
        raise wrong("a mako block is a file: give it a title")
    if "lab" in given and given["lab"] not in LABS:
        raise wrong(f"unknown lab {given['lab']!r}; one of {', '.join(sorted(LABS))}")
    if "exit" in given and (language != "bash" or not given["exit"].isdecimal()):
        raise wrong("exit=N is the exit code of a bash block")
    if "partial" in given and language != "python":
        raise wrong("partial goes with python blocks")
    if "queries" in given and (language not in PROGRAMS - {"bash"} or file):
        raise wrong("queries=N goes with python, sql or http without a title: the statements of a command are not seen")
    if "db" in given and (file.startswith("assets/") or not (file or language in PROGRAMS)):
        raise wrong("db=... goes with blocks that are run; an output holds where the block above it runs")
    if file.startswith("assets/") and ("norun" in given or "partial" in given):
        raise wrong("a quoted excerpt is compared with its asset: norun and partial do not go with it")
    if "hl_lines" in given:
        _check_highlight(given["hl_lines"], token.content, wrong)
    everywhere = (LABS[given["lab"]],) if "lab" in given else DATABASES
    return Block(
        line=line,
        language=language,
        code=token.content,
        group=group,
        mark=mark,
        title=file,
        queries=_queries(given["queries"], wrong) if "queries" in given else {},
        databases=_databases(given["db"], wrong) if "db" in given else everywhere,
        exit=int(given.get("exit", 0)),
        lab=given.get("lab", ""),
        partial=given.get("partial", ""),
        norun=given.get("norun", ""),
    )


def _databases(text: str, wrong: Callable[[str], PageError]) -> tuple[Database, ...]:
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in DATABASES:
            raise wrong(f"unknown database {name!r}; one of {', '.join(DATABASES)}")
    return tuple(database for database in DATABASES if database in names)


def _check_highlight(text: str, code: str, wrong: Callable[[str], PageError]) -> None:
    for part in text.split():
        first, _, last = part.partition("-")
        if not (first.isdecimal() and (last or first).isdecimal()):
            raise wrong(f'hl_lines={text!r}: write hl_lines="2 5-7"')
        if not 1 <= int(first) <= int(last or first) <= len(code.splitlines()):
            raise wrong(f"hl_lines={text!r}: the block has {len(code.splitlines())} lines")


def _queries(text: str, wrong: Callable[[str], PageError]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for part in text.split(","):
        name, _, number = part.strip().rpartition(":")
        if not number.isdecimal() or (name and name not in DATABASES):
            raise wrong(f'queries={text!r}: write queries=2 or queries="2,mariadb:3"')
        counts[name] = int(number)
    return counts
