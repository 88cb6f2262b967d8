"""Hooks of mkdocs: the site is made of the files as they lie in the repository."""

from __future__ import annotations

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from verify import pages

ROOT = Path(__file__).resolve().parents[2]
_ASSET_LINK = re.compile(r"\]\((?P<up>(?:\.\./)*)(?P<path>assets/[\w./-]+)\)")
_LANGUAGES = {
    ".py": "python",
    ".toml": "toml",
    ".ini": "ini",
    ".yaml": "yaml",
    ".yml": "yaml",
    ".mako": "mako",
    ".md": "markdown",
}
_NAMES = {"sqlite": "SQLite", "postgresql": "PostgreSQL", "mariadb": "MariaDB"}
_CSS = """
.bad > .highlight, .bad.highlight { border-left: .2rem solid #d32f2f; }
.good > .highlight, .good.highlight { border-left: .2rem solid #388e3c; }
.facts { display: block; font-size: .65rem; opacity: .8; margin-bottom: -.6rem; }
"""


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """The documents are the whole repository; exclude_docs says which of its files."""
    config.docs_dir = str(ROOT)
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add a page for each asset that a document links to, and the style sheet."""
    for path in sorted({
        target for file in files.documentation_pages() for target in linked_assets(Path(file.abs_src_path or ""))
    }):
        language = _LANGUAGES.get(Path(path).suffix, "text")
        text = (ROOT / path).read_text(encoding="utf-8")
        fence = "`" * 6
        files.append(
            File.generated(config, asset_page(path), content=f"# {path}\n\n{fence}{language}\n{text}\n{fence}\n")
        )
    files.append(File.generated(config, "css/blocks.css", content=_CSS))
    config.extra_css.append("css/blocks.css")
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Point links at the asset pages, mark ❌ and ✅ blocks, and say in words what a fence says in keys."""
    del config, files
    if page.file.generated_by or not page.file.abs_src_path:
        return markdown
    markdown = _ASSET_LINK.sub(lambda match: f"]({match['up']}{asset_page(match['path'])})", markdown)
    parsed = pages.parse(Path(page.file.abs_src_path))
    offset = _front_matter_lines(Path(page.file.abs_src_path).read_text(encoding="utf-8"))
    lines = markdown.split("\n")
    for block in parsed.blocks:
        number = block.line - 1 - offset
        lines[number] = f"{_facts(block)}```{block.language}{_attributes(block)}"
    return "\n".join(lines)


def linked_assets(document: Path) -> set[str]:
    """The files below assets/ that a document links to."""
    return {match["path"] for match in _ASSET_LINK.finditer(document.read_text(encoding="utf-8"))}


def asset_page(path: str) -> str:
    """Where the site shows an asset."""
    return f"templates/{path.removeprefix('assets/')}.md"


def _front_matter_lines(text: str) -> int:
    match = re.match(r"---\n.*?\n---\n+", text, re.DOTALL)
    return match[0].count("\n") if match else 0


def _attributes(block: pages.Block) -> str:
    mark = {"❌": ".bad", "✅": ".good"}.get(block.mark, "")
    words = [mark] if mark else []
    if block.title:
        words.append(f'title="{block.title}"')
    return f" {{{' '.join(words)}}}" if words else ""


def _facts(block: pages.Block) -> str:
    facts = []
    if block.queries:
        counts = ", ".join(
            f"{number} on {_NAMES[name]}" if name else f"{number}" for name, number in block.queries.items()
        )
        facts.append(f"SQL statements: {counts}")
    if len(block.databases) < len(pages.DATABASES):
        facts.append("only on " + " and ".join(_NAMES[name] for name in block.databases))
    if block.norun:
        facts.append(f"not run: {block.norun}")
    return f'<small class="facts">{"; ".join(facts)}</small>\n\n' if facts else ""
