"""Generated text: quotations of assets, tables of contents and INDEX.md."""

from __future__ import annotations

import difflib
import re
from pathlib import Path

from verify import cards, index, ledger, pages
from verify.extract import ROOT
from verify.pages import Block, Page, PageError

ELISION = re.compile(r"^\s*# \.\.\.$")
LONG = 100  # lines, from which on a page has a table of contents
_TOC = ("<!-- toc -->", "<!-- /toc -->")


def shipped_pages(root: Path = ROOT) -> list[Path]:
    """Every markdown file that ships or stands in the README.

    Raises:
        PageError: There is none.
    """
    found = [path for path in (root / "README.md", root / "SKILL.md", root / "INDEX.md") if path.exists()]
    found += sorted((root / "references").glob("**/*.md"))
    found += [path for path in sorted((root / "assets").glob("**/*.md")) if ".venv" not in path.parts]
    if not found:
        raise PageError(root, 1, "no markdown files found")
    return found


def stale(root: Path = ROOT) -> dict[Path, str]:
    """The generated text as it should be.

    Returns:
        For each file that differs, its right content.

    Raises:
        PageError: A quotation cannot be refreshed.
    """
    new: dict[Path, str] = {}
    for path in shipped_pages(root):
        old = path.read_text(encoding="utf-8")
        if pages.is_generated(path):
            continue
        text = _refreshed_excerpts(pages.parse(path), old, root)
        text = _with_toc(text, path) if path.parent.name == "references" else text
        if text != old:
            new[path] = text
    for target, text in _generated(root).items():
        if not target.exists() or target.read_text(encoding="utf-8") != text:
            new[target] = text
    return new


def _generated(root: Path) -> dict[Path, str]:
    """The pages that are generated as a whole."""
    whole = {root / "INDEX.md": index.generate(root)}
    if cards.find(root):
        whole[root / "references" / "anti-patterns.md"] = cards.generate(root)
    if (root / ledger.FOLDER).is_dir():
        whole[root / "references" / "troubleshooting.md"] = ledger.troubleshooting(root)
    return whole


def write(root: Path = ROOT) -> list[Path]:
    """Refresh the generated text.

    Returns:
        The files that changed.
    """
    changed: dict[Path, str] = {}
    while new := stale(root):  # a new page stands in the index only when it is there
        for path, text in new.items():
            path.write_text(text, encoding="utf-8")
        changed |= new
    return list(changed)


# ---- quotations ---------------------------------------------------------------------------------


def check_excerpt(page: Page, block: Block, root: Path = ROOT) -> None:
    """Compare a quotation with its asset.

    Raises:
        PageError: The asset is missing, or says something else.
    """
    asset = _asset(page, block, root)
    position = 0
    chunks = _chunks(block)
    if not chunks:
        raise PageError(page.path, block.line, f"nothing of {block.title} is quoted")
    for line, chunk in chunks:
        found = _find(chunk, asset, position)
        if found is None:
            raise PageError(
                page.path,
                line,
                f"{block.title} does not hold these lines any more; run `python -m verify sync --write`",
            )
        position = found + len(chunk)


def _asset(page: Page, block: Block, root: Path) -> list[str]:
    path = root / block.title
    if not path.is_file():
        raise PageError(page.path, block.line, f"{block.title} does not exist")
    return path.read_text(encoding="utf-8").splitlines()


def _chunks(block: Block) -> list[tuple[int, list[str]]]:
    """The runs of lines between elisions, without the empty lines around them."""
    chunks: list[tuple[int, list[str]]] = [(block.code_line, [])]
    for number, line in enumerate(block.code.splitlines(), block.code_line):
        if ELISION.match(line):
            chunks.append((number + 1, []))
        elif line.strip() or chunks[-1][1]:
            chunks[-1] = (chunks[-1][0] if chunks[-1][1] else number, [*chunks[-1][1], line])
    trimmed = []
    for first, chunk in chunks:
        while chunk and not chunk[-1].strip():
            chunk.pop()
        if chunk:
            trimmed.append((first, chunk))
    return trimmed


def _find(chunk: list[str], asset: list[str], start: int) -> int | None:
    starts = range(start, len(asset) - len(chunk) + 1)
    return next((i for i in starts if asset[i : i + len(chunk)] == chunk), None)


def _refreshed_excerpts(page: Page, text: str, root: Path) -> str:
    lines = text.splitlines(keepends=True)
    for block in sorted(page.blocks, key=lambda block: -block.line):
        if block.kind != "excerpt":
            continue
        try:
            check_excerpt(page, block, root)
        except PageError:
            asset = _asset(page, block, root)
            for first, chunk in reversed(_chunks(block)):
                fresh = _refreshed(chunk, asset)
                if fresh is None:
                    raise PageError(
                        page.path, first, f"{block.title} holds nothing like these lines; quote it anew by hand"
                    ) from None
                lines[first - 1 : first - 1 + len(chunk)] = [f"{line}\n" for line in fresh]
    return "".join(lines)


def _refreshed(chunk: list[str], asset: list[str]) -> list[str] | None:
    """The lines of the asset between those that equal the first and the last line of the chunk, or stand nearest to them."""
    matcher = difflib.SequenceMatcher(a=asset, b=chunk, autojunk=False)
    matches = [match for match in matcher.get_matching_blocks() if match.size]
    if not matches or chunk[0] not in asset or chunk[-1] not in asset:
        return None
    first = matches[0].a - matches[0].b
    last = matches[-1].a + matches[-1].size + (len(chunk) - matches[-1].b - matches[-1].size)
    if first < 0 or asset[first] != chunk[0] or asset[last - 1] != chunk[-1]:
        return None
    return asset[first:last]


# ---- tables of contents ---------------------------------------------------------------------


def _with_toc(text: str, path: Path) -> str:
    """Put the table of contents below the introduction of a long page."""
    bare = re.sub(rf"{_TOC[0]}\n.*?{_TOC[1]}\n\n", "", text, flags=re.DOTALL)
    if len(bare.splitlines()) <= LONG:
        return bare
    page = pages.parse(path)
    entries = [f"- [{heading}](#{pages.slug(heading)})" for level, heading, _ in page.headings if level == 2]
    toc = "\n".join([_TOC[0], *entries, _TOC[1]])
    head, found, rest = bare.partition("\n## ")
    return f"{head}\n{toc}\n\n## {rest}" if found and entries else bare
