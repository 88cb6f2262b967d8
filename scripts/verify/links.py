"""Links of the raw files: what GitHub and an agent would follow."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from verify import pages
from verify.pages import PageError

_LINK = re.compile(r"(?<!!)\[[^\]]*\]\((?P<target>[^)\s]+)\)")
_OUTSIDE = ("http://", "https://", "mailto:")


def check(documents: Sequence[Path], within: Path | None = None) -> int:
    """Check every relative link and anchor.

    Args:
        documents: Markdown files.
        within: A folder that no link may leave.

    Returns:
        The number of links.

    Raises:
        PageError: A link leads nowhere, or there is no link at all.
    """
    count = 0
    anchors_of = functools.cache(anchors)  # for this call: the next one may find other files
    for document in documents:
        code = {line for block in pages.parse(document).blocks for line in range(block.line, block.end_line + 2)}
        for number, text in enumerate(document.read_text(encoding="utf-8").splitlines(), 1):
            if number in code:
                continue
            for match in _LINK.finditer(re.sub(r"`[^`]*`", "", text)):
                if not match["target"].startswith(_OUTSIDE):
                    count += 1
                    _check(document, number, match["target"], within, anchors_of)
    if not count:
        raise PageError(documents[0] if documents else Path("."), 1, "no links found: nothing was checked")
    return count


def _check(document: Path, line: int, target: str, within: Path | None, anchors_of: Callable[[Path], set[str]]) -> None:
    path, _, anchor = target.partition("#")
    file = (document.parent / path).resolve() if path else document
    if not file.exists():
        raise PageError(document, line, f"{target} leads to {path}, which does not exist")
    if within and not file.is_relative_to(within.resolve()):
        raise PageError(document, line, f"{target} leads out of {within.name}, which is installed alone")
    if anchor and file.suffix == ".md" and anchor not in anchors_of(file):
        raise PageError(document, line, f"{target}: {file.name} has no heading with the anchor #{anchor}")


def anchors(document: Path) -> set[str]:
    """The anchors that GitHub gives the headings of a file; a second equal one gets -1."""
    found: set[str] = set()
    for _, text, _ in pages.parse(document).headings:
        slug, number = pages.slug(text.replace("`", "")), 0
        while (unique := f"{slug}-{number}" if number else slug) in found:
            number += 1
        found.add(unique)
    return found
