"""The comments that say what a statement gives: `# => value`, `# raises Type: text`, `# warns Type: text`."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from verify.pages import DATABASES, Database, PageError

WILDCARD = "…"
BROAD = frozenset({"BaseException", "Exception", "StatementError", "DBAPIError", "OperationalError", "Warning"})

_TAG = rf"(?:\[(?P<databases>(?:{'|'.join(DATABASES)})(?:, *(?:{'|'.join(DATABASES)}))*)\] ?)?"
_COMMENT = re.compile(rf"^(?:#|--) ?(?:(?P<sign>=>)|(?P<word>raises|warns)) {_TAG}(?P<text>.*)$")
_ALMOST = re.compile(r"^(?:#|--) *(?:[=-]+>|→|>>>|raises\b|warns\b)", re.IGNORECASE)
_LATER = re.compile(r"(?:#|--) *(?:=>|(?:raises|warns) [A-Z])")  # behind another comment
_TYPE = re.compile(r"^(?P<type>[A-Za-z_][\w.]*)(?:: (?P<text>.+))?$")
_VOLATILE = re.compile(
    r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b|\d{4}-\d\d-\d\d[T ]\d\d:\d\d|datetime\(\d{4}",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Expectation:
    """One comment.

    Attributes:
        text: The value or line, or for an error the text that its message contains.
        type: Name of the error or warning class.
        databases: Where it holds; empty for everywhere else.
    """

    kind: Literal["value", "raises", "warns"]
    line: int
    text: str
    type: str = ""
    databases: tuple[Database, ...] = ()

    def __str__(self) -> str:
        return f"{self.kind} {self.type}{': ' + self.text if self.text else ''}" if self.type else self.text


def read(comment: str, line: int, path: Path) -> Expectation | None:
    """Read one comment, `#` or `--` included; None where it is an ordinary one.

    Raises:
        PageError: It looks like an expectation and is none.
    """
    match = _COMMENT.match(comment)
    if not match:
        if _ALMOST.match(comment) or _LATER.search(comment, 1):
            raise PageError(
                path, line, f"{comment!r}: write `# => value`, `# raises Type: text` or `# warns Type: text`"
            )
        return None
    names = tuple(name.strip() for name in (match["databases"] or "").split(",") if name)
    databases = tuple(database for database in DATABASES if database in names)
    text = match["text"].rstrip()
    if match["sign"]:
        if is_anything(text):
            raise PageError(path, line, "`…` alone matches anything; put a literal part beside it")
        if _VOLATILE.search(text):
            raise PageError(path, line, f"{text!r}: a UUID or a time differs from run to run; write `…` for it")
        return Expectation("value", line, text, databases=databases)
    kind: Literal["raises", "warns"] = "raises" if match["word"] == "raises" else "warns"
    parts = _TYPE.match(text)
    if not parts:
        raise PageError(path, line, f"{comment!r}: write `# {kind} Type: text of the message`")
    if parts["type"].rpartition(".")[2] in BROAD and not (parts["text"] or "").strip(f"{WILDCARD} "):
        raise PageError(path, line, f"{parts['type']} is broad: add a part of its message after a colon")
    return Expectation(kind, line, parts["text"] or "", parts["type"], databases)


def comments(code: str, first_line: int, path: Path) -> list[tuple[Expectation, int, bool]]:
    """The expectations in a Python block.

    Returns:
        Expectation, column of its comment, and whether the comment has its line to itself.
    """
    found = []
    for token in tokenize.generate_tokens(io.StringIO(code).readline):
        if token.type == tokenize.COMMENT:
            line = first_line + token.start[0] - 1
            if expectation := read(token.string, line, path):
                found.append((expectation, token.start[1], not token.line[: token.start[1]].strip()))
    return found


def on(database: Database, expectations: Iterable[Expectation]) -> list[Expectation]:
    """The expectations that hold on one database.

    A tagged comment stands for its database in place of the untagged one before it: together they are one position.
    """
    positions: list[list[Expectation]] = []
    for expectation in expectations:
        last = positions[-1] if positions else None
        joins = (
            expectation.databases
            and last
            and last[0].kind == expectation.kind
            and not any(set(other.databases) & set(expectation.databases) for other in last)
        )
        if joins and last is not None:
            last.append(expectation)
        else:
            positions.append([expectation])
    chosen = []
    for position in positions:
        tagged = [one for one in position if database in one.databases]
        chosen += tagged or [one for one in position if not one.databases]
    return chosen


def is_anything(text: str) -> bool:
    """Whether nothing but `…` is expected, which every text would be."""
    return WILDCARD in text and not text.strip(f"{WILDCARD}'\" \n")


def matches_text(expected: str, actual: str) -> bool:
    """Whether a line is the expected one; `…` stands for any text."""
    if WILDCARD in expected:
        pattern = ".*".join(re.escape(part) for part in expected.split(WILDCARD))
        return re.fullmatch(pattern, actual, re.DOTALL) is not None
    return expected == actual or _same_literal(expected, actual)


def contains_text(expected: str, actual: str) -> bool:
    """Whether a message contains the expected text; `…` stands for any text."""
    return re.search(".*".join(re.escape(part) for part in expected.split(WILDCARD)), actual, re.DOTALL) is not None


def matches_lines(expected: Sequence[str], actual: str) -> bool:
    """Whether printed text is the expected lines."""
    lines = actual.splitlines()
    return len(lines) == len(expected) and all(matches_text(*pair) for pair in zip(expected, lines, strict=True))


def _same_literal(expected: str, actual: str) -> bool:
    try:
        return same(ast.literal_eval(expected), ast.literal_eval(actual))
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return False


def same(expected: Any, actual: Any) -> bool:
    """Equality of literals that tells 0 from False and 1.0 from 1, and ignores the order of keys."""
    if type(expected) is not type(actual):
        return False
    if isinstance(expected, dict):
        return expected.keys() == actual.keys() and all(same(value, actual[key]) for key, value in expected.items())
    if isinstance(expected, (list, tuple)):
        return len(expected) == len(actual) and all(same(*pair) for pair in zip(expected, actual, strict=True))
    return bool(expected == actual)


def contains_json(expected: Any, actual: Any) -> bool:
    """Whether a JSON document contains another; the string `…` stands for any value, lists match item by item."""
    if expected == WILDCARD:
        return True
    if isinstance(expected, dict):
        return isinstance(actual, dict) and all(
            key in actual and contains_json(value, actual[key]) for key, value in expected.items()
        )
    if isinstance(expected, list):
        if not isinstance(actual, list):
            return False
        if expected and expected[-1] == WILDCARD:
            return (
                all(contains_json(*pair) for pair in zip(expected[:-1], actual, strict=False))
                and len(actual) >= len(expected) - 1
            )
        return len(expected) == len(actual) and all(contains_json(*pair) for pair in zip(expected, actual, strict=True))
    if isinstance(expected, str) and WILDCARD in expected:
        return isinstance(actual, str) and matches_text(expected, actual)
    return same(expected, actual)


def error_chain(error: BaseException) -> list[BaseException]:
    """The error, then the ones under `.orig` and `__cause__`, outermost first."""
    chain: list[BaseException] = []
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop(0)
        if isinstance(one, BaseException) and one not in chain:
            chain.append(one)
            waiting += [getattr(one, "orig", None), one.__cause__]
            if isinstance(one, BaseExceptionGroup):
                waiting += one.exceptions
    return chain


def is_named(kind: type[BaseException], name: str) -> bool:
    """Whether a class or one of its bases has this name, qualified or not."""
    return any(
        base.__name__ == name or f"{base.__module__}.{base.__qualname__}".endswith(f".{name}")
        for base in kind.__mro__
        if base not in {object, BaseException}
    )


def matches_error(expected: Expectation, error: BaseException) -> bool:
    """Whether an error, or one under it, has the expected type, and one of their messages the expected text."""
    chain = error_chain(error)
    return any(is_named(type(one), expected.type) for one in chain) and any(
        contains_text(expected.text, str(one)) for one in chain
    )
