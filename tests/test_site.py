"""The site is built of the same files, without a warning, and needs nothing from elsewhere."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def build(root: Path, target: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(target)],
        cwd=root, capture_output=True, text=True, check=False, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
    )  # fmt: skip


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("site") / "site"
    done = build(ROOT, target)
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    return target


class Reader(HTMLParser):
    """Collects ids, links and resources of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.resources: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.ids |= {values["id"] or ""} if "id" in values else set()
        if tag == "a" and values.get("href"):
            self.links.append(values["href"] or "")
        if tag in ("script", "img", "iframe") and values.get("src"):
            self.resources.append(values["src"] or "")
        if tag == "link" and values.get("rel") != "canonical" and values.get("href"):
            self.resources.append(values["href"] or "")


def read(path: Path) -> Reader:
    reader = Reader()
    reader.feed(path.read_text(encoding="utf-8"))
    return reader


def test_every_document_is_a_page(site: Path) -> None:
    for path in (ROOT / "references").glob("*.md"):
        assert (site / "references" / f"{path.stem}.html").exists()
    for name in ("index.html", "SKILL.html", "INDEX.html", "templates/service/app/services/base.py.html"):
        assert (site / name).exists()
    assert not (site / "tests").exists()


def test_every_link_inside_the_site_leads_somewhere(site: Path) -> None:
    checked = 0
    readers = {path: read(path) for path in site.rglob("*.html") if path.name != "404.html"}
    for path, reader in readers.items():
        for link in reader.links:
            if re.match(r"[a-z]+:", link):
                continue
            target, _, anchor = link.partition("#")
            file = (path.parent / target).resolve() if target else path
            file = file / "index.html" if file.is_dir() else file
            assert file.exists(), f"{path}: {link}"
            if anchor and file in readers and not anchor.startswith("__"):
                assert anchor in readers[file].ids, f"{path}: {link}"
            checked += 1
    assert checked > 200


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    resources = [resource for path in site.rglob("*.html") for resource in read(path).resources]
    assert resources
    assert [one for one in resources if "//" in one] == []
    for resource in set(read(site / "index.html").resources):
        assert (site / resource.partition("?")[0]).exists(), resource


def test_blocks_are_marked_and_no_fence_is_shown_as_text(site: Path) -> None:
    page = (site / "references" / "loading.html").read_text(encoding="utf-8")
    source = (ROOT / "references" / "loading.md").read_text(encoding="utf-8")
    assert page.count('class="bad highlight"') > 4
    assert page.count('class="good highlight"') > 4
    assert "SQL statements: 2" in page
    assert page.count("<pre>") == source.count("\n```python")
    for path in site.rglob("references/*.html"):
        assert "```" not in path.read_text(encoding="utf-8"), path


@pytest.mark.parametrize("text", ["[x](nowhere.md)", "[x](models.md#nowhere)", "[x](../assets/service/nowhere.py)"])
def test_a_broken_link_fails_the_build(tmp_path: Path, text: str) -> None:
    copy = tmp_path / "copy"
    ignored = shutil.ignore_patterns(".venv", ".git", "build", "*_cache", "tests", "__pycache__")
    shutil.copytree(ROOT, copy, ignore=ignored)
    with open(copy / "references" / "loading.md", "a", encoding="utf-8") as page:
        page.write(f"\n{text}\n")
    assert build(copy, tmp_path / "site").returncode != 0
