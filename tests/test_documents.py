"""The documents that ship: proven, in sync, formatted, linked, and free of what the field once taught."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from verify import contract, extract, links, package, pages, report, static, sync
from verify.pages import Page, PageError

ROOT = Path(__file__).parents[1]
DOCUMENTS = sync.shipped_pages()
GUIDES = sorted((ROOT / "references").glob("*.md"))
MAX_LINES = 400
SKILL_LINES, SKILL_BYTES, DESCRIPTION = 200, 12 * 1024, 500
STALE = {
    r"datetime\.utcnow|utcfromtimestamp": "naive datetimes are refused",
    r"\.dict\(\)|\.parse_obj\(|\.from_orm\(|orm_mode|@validator\b": "pydantic 1",
    r"session\.query\(": "there is no query",
    r"on_event\(|add_event_handler": "lifespan",
    r"declarative_base\(": "SQLModel",
    r"AsyncClient\(app=": "ASGITransport",
    r"from sqlmodel import [^\n]*\b(AsyncSession|create_async_engine|selectinload)\b": "wrong module",
    r"List\[|Dict\[": "list and dict",
    r"HTTP_422_UNPROCESSABLE_ENTITY": "deprecated",
}
BANNED = re.compile(
    r"\b(comprehensive|robust|production-ready|seamless|blazing|world-class|cutting-edge)\b", re.IGNORECASE
)
EMOJI = re.compile("[\U0001f300-\U0001faff\u2600-\u27bf]")


def without_bad_blocks(page: Page) -> str:
    """The text of a page, without its ❌ blocks and without code spans, in which the traps are named."""
    lines = page.path.read_text(encoding="utf-8").splitlines()
    for block in page.blocks:
        if block.mark == "❌":
            for number in range(block.line - 1, block.end_line + 1):
                lines[number] = ""
    inside = {n for b in page.blocks for n in range(b.line, b.end_line + 1)}
    return "\n".join(text if n in inside else re.sub(r"`[^`]*`", "", text) for n, text in enumerate(lines, 1))


def stale_claims(page: Page) -> list[str]:
    text = without_bad_blocks(page)
    return [f"{match[0]}: {why}" for pattern, why in STALE.items() for match in re.finditer(pattern, text)]


def page_of(tmp_path: Path, text: str) -> Page:
    path = tmp_path / "page.md"
    path.write_text(text, encoding="utf-8")
    return pages.parse(path)


# ---- guides --------------------------------------------------------------------------------


def test_there_are_guides() -> None:
    assert {path.stem for path in GUIDES} >= {"database-setup", "models", "relationships", "servicebase"}


@pytest.mark.parametrize("path", GUIDES, ids=lambda path: path.stem)
def test_a_guide_has_its_parts(path: Path) -> None:
    page = pages.parse(path)
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= MAX_LINES
    after_title = text.split("\n", 2)[2].lstrip()
    assert after_title.startswith("Use this when ")
    if pages.is_generated(path):
        assert not list(page.blocks)
        assert len(re.findall(r"\]\([\w-]+\.md", text)) > 30, "a generated page is a map of the others"
        return
    assert page.preface.blocks, "the main code block stands before the first H2"
    assert page.preface.blocks[0].kind != "excerpt"
    assert all(section.blocks for section in page.sections if "When not" not in section.title)


def points(text: str, section: str) -> list[str]:
    """The numbered points of a section, each of which must say where it is proved."""
    found = re.search(rf"^## {section}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert found, f"there is no section {section!r}"
    return re.findall(r"^\d+\. (.+)$", found[1], re.MULTILINE)


@pytest.mark.parametrize(("section", "number"), [("Must", 18), ("Must not", 10), ("Before production", 13)])
def test_the_lists_of_best_practices_are_whole_and_lead_to_proofs(section: str, number: int) -> None:
    found = points((ROOT / "references" / "best-practices.md").read_text(encoding="utf-8"), section)
    assert len(found) == number
    assert [one for one in found if "](" not in one and "scripts/audit.py" not in one] == []


def test_a_list_that_is_gone_is_found() -> None:
    assert points("## Must\n\n1. One.\n\n## Must not\n\n1. Two.\n2. Three.\n", "Must") == ["One."]
    with pytest.raises(AssertionError, match="no section 'Must'"):
        points("## Must not\n\n1. One.\n", "Must")


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_document_holds_no_stale_claim(path: Path) -> None:
    page = pages.parse(path)
    assert stale_claims(page) == []
    text = path.read_text(encoding="utf-8")
    assert not BANNED.findall(text)
    assert set(EMOJI.findall(text)) <= {"❌", "✅"}


@pytest.mark.parametrize(
    "claim", ["x = datetime.utcnow()", "h.dict()", "await session.query(Hero)", "from sqlmodel import AsyncSession"]
)
def test_a_stale_claim_is_found_in_code_and_not_in_bad_code(tmp_path: Path, claim: str) -> None:
    assert stale_claims(page_of(tmp_path, f"# T\n\n```python\n{claim}\n```\n"))
    assert not stale_claims(page_of(tmp_path, f"# T\n\n❌ Old:\n\n```python\n{claim}\n```\n"))
    assert not stale_claims(page_of(tmp_path, f"# T\n\nDo not write `{claim}`.\n\n```python\nx = 1\n```\n"))


def test_few_blocks_are_not_run_or_restricted() -> None:
    parsed = [pages.parse(path) for path in DOCUMENTS]
    contract.check_shares(parsed)
    assert " 0 partial" in report.shares(parsed)


def test_too_many_unrun_blocks_are_found(tmp_path: Path) -> None:
    block = '```python {norun="needs a server elsewhere"}\nx()\n```\n\n'
    with pytest.raises(PageError, match="norun or partial; at most 2% may be"):
        contract.check_shares([page_of(tmp_path, "# T\n\n" + block * 5)])
    restricted = "```python {db=sqlite}\nx = 1\n```\n\n"
    with pytest.raises(PageError, match="restricted to one database; at most 15% may be"):
        contract.check_shares([page_of(tmp_path, "# T\n\n" + restricted * 5)])
    with pytest.raises(PageError, match="no code blocks found"):
        contract.check_shares([])


# ---- static --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", [p for p in DOCUMENTS if list(pages.parse(p).blocks)], ids=lambda p: p.relative_to(ROOT).as_posix()
)
def test_linters_and_the_type_checker_find_nothing(path: Path) -> None:
    page = pages.parse(path)
    assert [str(found) for found in static.check(page, extract.extract(page, into=ROOT / "build" / "check"))] == []


def test_static_findings_have_the_lines_of_the_page(tmp_path: Path) -> None:
    page = page_of(
        tmp_path,
        "# T\n\n```python\nimport os\nimport sys\n\nfrom sqlmodel import SQLModel, nothing\n```\n\n## One\n\n"
        "```python\nawait session.gett(1)\nunknown\nprint(sys.argv, SQLModel)\nimportx = engine.nope\n```\n\n"
        "❌ Wrong on purpose:\n\n```python\nsession.nope()  # raises AttributeError\n```\n\n✅ Right:\n\n```python\n1 + 1  # => 2\n```\n",
    )
    found = {(one.line, one.rule) for one in static.check(page, extract.extract(page, into=tmp_path / "build"))}
    assert {(4, "F401"), (7, "missing-module-member"), (13, "missing-attribute"), (14, "unresolved-reference")} <= found
    assert (16, "missing-attribute") in found
    assert not any(line > 17 for line, _ in found)


def test_an_import_of_the_preface_is_unused_only_where_no_section_uses_it(tmp_path: Path) -> None:
    page = page_of(
        tmp_path,
        "# T\n\n```python\nimport json\n```\n\n## One\n\n```python\nprint(1)\n```\n\n## Two\n\n```python\nprint(json)\n```\n",
    )
    assert static.check(page, extract.extract(page, into=tmp_path / "build")) == []


def test_markdown_and_code_are_formatted_and_linted() -> None:
    for command in (["ruff", "format", "--check", "."], ["ruff", "check", "."], ["mypy"]):
        done = subprocess.run(
            [str(Path(sys.executable).parent / command[0]), *command[1:]],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_ruff_formats_the_blocks_of_markdown(tmp_path: Path) -> None:
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "page.md").write_text("# T\n\n```python {queries=1}\nx  =  1\n```\n")
    subprocess.run(
        [str(Path(sys.executable).parent / "ruff"), "format", "page.md"], cwd=tmp_path, check=True, capture_output=True
    )
    assert (tmp_path / "page.md").read_text() == "# T\n\n```python {queries=1}\nx = 1\n```\n"


# ---- generated text, links -----------------------------------------------------------------


def test_generated_text_is_fresh() -> None:
    assert [path.relative_to(ROOT).as_posix() for path in sync.stale()] == [], "run `python -m verify sync --write`"


def test_every_link_leads_somewhere() -> None:
    assert links.check(DOCUMENTS) > 50


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[x](nowhere.md)", "which does not exist"),
        ("[x](#nowhere)", "no heading"),
        ("[x](page.md#no)", "no heading"),
        ("text", "no links found"),
    ],
)
def test_a_broken_link_is_found(tmp_path: Path, text: str, message: str) -> None:
    page = page_of(tmp_path, f"# T\n\n## Here\n\n[fine](#here)\n\n{text}\n" if text != "text" else "# T\n\ntext\n")
    with pytest.raises(PageError, match=message):
        links.check([page.path])


def test_anchors_are_those_of_github(tmp_path: Path) -> None:
    page = page_of(tmp_path, "# `select()` & joins\n\n## A b-c_d\n\n## A b-c_d\n\n## É, x?\n")
    assert links.anchors(page.path) == {"select--joins", "a-b-c_d", "a-b-c_d-1", "é-x"}


def test_the_readme_lists_every_page_that_was_verified() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    table = text.partition(report.MARKERS[0])[2].partition(report.MARKERS[1])[0]
    for path in [path for path in GUIDES if not pages.is_generated(path)]:
        programs = extract.extract(pages.parse(path), into=ROOT / "build" / "check")
        steps = [step.block for one in programs if "sqlite" in one.databases for step in one.steps]
        blocks = len({b.line for b in steps if b.kind in {"program", "file"} and "sqlite" in b.databases})
        row = re.search(rf"\| \[references/{path.name}\].*", table)
        assert row, f"run the whole suite, then `python -m verify report --write`: {path.name} is not in the table"
        assert row[0].split("|")[2].strip().startswith(f"{blocks} / " if blocks else "-"), (
            f"{path.name}: run `python -m verify report --write`"
        )


# ---- the skill -----------------------------------------------------------------------------


def skill_problems(folder: Path) -> list[str]:
    text = (folder / "SKILL.md").read_text(encoding="utf-8")
    front = text.split("---\n")[1]
    description = re.search(r'^description: "?(.*?)"?$', front, re.MULTILINE)
    problems = []
    if len(text.splitlines()) > SKILL_LINES or len(text.encode()) > SKILL_BYTES:
        problems.append("SKILL.md is too long")
    if not description or len(description[1]) > DESCRIPTION or "Not for" not in description[1]:
        problems.append("the description is too long, or does not say what the skill is not for")
    guides = {path.relative_to(folder).as_posix() for path in (folder / "references").rglob("*.md")}
    reachable = set(re.findall(r"\]\((references/[\w-]+\.md)", text))
    problems += [f"{name} is not linked from SKILL.md" for name in sorted(guides - reachable)]
    problems += [f"{name} is not one level below references/" for name in guides if name.count("/") != 1]
    done = subprocess.run(
        [str(Path(sys.executable).parent / "agentskills"), "validate", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    return problems + ([done.stdout + done.stderr] if done.returncode else [])


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """What a user copies."""
    package.lay_out(ROOT, tmp_path / "async-sqlmodel")
    return tmp_path / "async-sqlmodel"


def test_the_skill_is_valid_where_it_is_installed(installed: Path) -> None:
    assert skill_problems(installed) == []


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("# async-sqlmodel", "# async-sqlmodel\n" + "line\n" * 200, "too long"),
        (" Not for ", " Nor for ", "not for"),
        ("license: MIT", "license: MIT\ncolour: red", "colour"),
        ("name: async-sqlmodel", "name: Async SQLModel", "name"),
        ("references/types.md", "references/models.md", "types.md is not linked"),
    ],
)
def test_a_broken_skill_is_found(installed: Path, old: str, new: str, problem: str) -> None:
    text = (installed / "SKILL.md").read_text(encoding="utf-8")
    assert old in text
    (installed / "SKILL.md").write_text(text.replace(old, new), encoding="utf-8")
    assert any(problem in one for one in skill_problems(installed))


def test_the_version_stands_in_one_place() -> None:
    version = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert version
    assert f'version: "{version[1]}"' in (ROOT / "SKILL.md").read_text()
    assert f"## {version[1]}" in (ROOT / "CHANGELOG.md").read_text()


def test_no_file_names_a_machine_or_a_registry() -> None:
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert "uv.lock" not in tracked
    assert len(tracked) > 50
    constraints = (ROOT / "constraints.txt").read_text()
    assert "://" not in constraints
