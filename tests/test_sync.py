"""Quotations, tables of contents and INDEX.md: what drifts is found, and refreshed."""

from __future__ import annotations

from pathlib import Path

import pytest

from verify import index, pages, sync
from verify.pages import PageError

ASSET = "import os\n\n\ndef first() -> int:\n    x = 1\n    return x\n\n\ndef second() -> int:\n    return 2\n"
PAGE = """# Page

Use this when you test.

```python
1 + 1  # => 2
```

## Quoted

```python {title="assets/code.py"}
def first() -> int:
    x = 1
    return x


# ...
    return 2
```
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "references").mkdir()
    (tmp_path / "assets").mkdir()
    (tmp_path / "assets" / "code.py").write_text(ASSET)
    (tmp_path / "references" / "page.md").write_text(
        PAGE.replace("    return 2\n", "def second() -> int:\n    return 2\n")
    )
    (tmp_path / "INDEX.md").write_text(index.generate(tmp_path))
    return tmp_path


def check(root: Path) -> None:
    page = pages.parse(root / "references" / "page.md")
    for block in page.blocks:
        if block.kind == "excerpt":
            sync.check_excerpt(page, block, root)


def test_a_fresh_quotation_is_fresh(root: Path) -> None:
    check(root)
    assert sync.stale(root) == {}


def test_a_line_that_changed_in_the_middle_is_found_and_refreshed(root: Path) -> None:
    (root / "assets" / "code.py").write_text(ASSET.replace("x = 1", "x = 100\n    x += 1"))
    with pytest.raises(PageError, match=r"page\.md:12: assets/code\.py does not hold these lines"):
        check(root)
    assert sync.write(root) == [root / "references" / "page.md"]
    assert "    x = 100\n    x += 1\n    return x\n" in (root / "references" / "page.md").read_text()
    check(root)
    assert sync.write(root) == []


def test_code_that_moved_is_still_quoted(root: Path) -> None:
    (root / "assets" / "code.py").write_text("import sys\n" * 5 + ASSET)
    check(root)


def test_code_that_was_renamed_is_an_error_that_says_so(root: Path) -> None:
    (root / "assets" / "code.py").write_text(ASSET.replace("first", "premier"))
    before = (root / "references" / "page.md").read_text()
    with pytest.raises(PageError, match="quote it anew by hand"):
        sync.write(root)
    assert (root / "references" / "page.md").read_text() == before


def test_an_asset_that_is_gone_is_an_error(root: Path) -> None:
    (root / "assets" / "code.py").unlink()
    with pytest.raises(PageError, match=r"assets/code\.py does not exist"):
        check(root)


def test_a_long_page_gets_a_table_of_contents_once(root: Path) -> None:
    path = root / "references" / "page.md"
    path.write_text(path.read_text() + "\n## Second & last\n" + "\ntext\n" * 100)
    sync.write(root)
    text = path.read_text()
    assert "<!-- toc -->\n- [Quoted](#quoted)\n- [Second & last](#second--last)\n<!-- /toc -->\n\n## Quoted" in text
    assert sync.stale(root) == {}
    path.write_text(text.replace("Second & last\n", "Third\n", 1).replace("## Second & last", "## Third"))
    assert path in sync.stale(root)


def test_the_index_names_tasks_errors_and_databases(root: Path) -> None:
    path = root / "references" / "page.md"
    extra = "\n## Fails\n\n❌ Wrong:\n\n```python\n1 / 0  # raises ZeroDivisionError: division\n```\n\n✅ Right:\n\n```python {db=sqlite}\n1 + 1  # => 2\n```\n"
    path.write_text(path.read_text() + extra)
    text = index.generate(root)
    assert "[Page](references/page.md): you test." in text
    assert "`ZeroDivisionError: division` | [Fails](references/page.md#fails)" in text
    assert "- SQLite: [Page: Fails](references/page.md#fails)" in text


def test_a_link_in_the_first_sentence_of_a_guide_works_in_the_index(root: Path) -> None:
    path = root / "references" / "page.md"
    path.write_text(path.read_text().replace("you test.", "you test; else [here](page.md#quoted) or `x`."))
    assert "you test; else [here](references/page.md#quoted) or `x`." in index.generate(root)


def test_a_guide_without_its_first_sentence_is_an_error(root: Path) -> None:
    path = root / "references" / "page.md"
    path.write_text(path.read_text().replace("Use this when you test.", "Text."))
    with pytest.raises(PageError, match="Use this when"):
        index.generate(root)


def test_a_repository_without_documents_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(PageError, match="no markdown files found"):
        sync.shipped_pages(tmp_path)
