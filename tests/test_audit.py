"""The command audit.py: what it prints, what it silences, what it repairs, and what it says to wrong calls."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import audit
from auditing.catalogue import RULES

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "scripts" / "audit.py"
BAD = """\
from datetime import datetime

from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlmodel import Field, SQLModel
from sqlmodel.ext.asyncio.session import AsyncSession

engine = create_async_engine("postgresql+asyncpg://localhost/app?sslmode=require")
sessions = async_sessionmaker(engine, class_=AsyncSession)


class Hero(SQLModel, table=True):
    id: int | None = Field(default=None, primary_key=True)
    made_at: datetime = Field(default_factory=datetime.utcnow)
"""
HERO = BAD.partition("\n\nclass Hero")[2]
MANY = "    made_at: datetime = Field(default_factory=datetime.utcnow)\n"
RULES_OF_BAD = ["ASM012", "ASM001", "ASM013"]  # in the order of its lines


def run(*arguments: str | Path, at: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-I", str(SCRIPT), *map(str, arguments)],
        capture_output=True, text=True, check=False, cwd=at, stdin=subprocess.DEVNULL,
    )  # fmt: skip


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with three faults in app/db.py, and a file that is right."""
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "x"\nversion = "1"\n')
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "db.py").write_text(BAD)
    (tmp_path / "app" / "good.py").write_text("from datetime import UTC, datetime\n\nnow = datetime.now(UTC)\n")
    return tmp_path


def settings(project: Path, text: str) -> None:
    with (project / "pyproject.toml").open("a") as file:
        file.write(f"\n[tool.async-sqlmodel]\n{text}\n")


def found(done: subprocess.CompletedProcess[str]) -> list[str]:
    """The rules of findings printed as text, in their order."""
    return re.findall(r"^\S+:\d+:\d+: (ASM\d{3}) ", done.stdout, re.MULTILINE)


# ---- output ---------------------------------------------------------------------------------


def test_text_names_place_rule_reason_remedy_and_card(project: Path) -> None:
    done = run(project)
    assert done.returncode == 1
    assert found(done) == RULES_OF_BAD
    assert re.search(
        r"^app/db\.py:13:47: ASM013 error: .*`datetime\.utcnow` .*; use .*UTC.* \[\*\]$", done.stdout, re.MULTILINE
    )
    assert "3 findings in 1 of 2 Python files" in done.stdout
    assert "references/anti-patterns.md#asm013" in done.stdout


def test_no_findings_is_exit_code_0(project: Path) -> None:
    done = run(project / "app" / "good.py")
    assert (done.returncode, found(done)) == (0, [])
    assert done.stdout == "no findings in 2 Python files\n"


def test_text_is_bounded(project: Path) -> None:
    (project / "app" / "many.py").write_text(
        BAD.partition("engine =")[0] + "\n\nclass Many(SQLModel, table=True):\n" + MANY * 500
    )
    done = run(project)
    assert len(found(done)) == 100
    assert "... and 403 more: --limit shows them" in done.stdout
    assert len(found(run(project, "--limit", "1000"))) == 503


def test_json_holds_all_that_text_says(project: Path) -> None:
    (project / "app" / "broken.py").write_text("def\n")
    data: dict[str, Any] = json.loads(run(project, "--json").stdout)
    assert [one["rule"] for one in data["findings"]] == RULES_OF_BAD
    last = data["findings"][-1]
    assert (last["path"], last["line"], last["column"], last["severity"], last["fixable"]) == (
        "app/db.py",
        13,
        47,
        "error",
        True,
    )
    assert data["files"] == 2
    assert data["unread"] == [{"path": "app/broken.py", "reason": "line 1: invalid syntax"}]


def test_sarif_is_valid_by_its_schema(project: Path) -> None:
    (project / "app" / "ümläut x.py").write_text(
        BAD.replace("?sslmode=require", "").replace("AsyncSession)", "AsyncSession, expire_on_commit=False)"),
        encoding="utf-8",
    )
    (project / "app" / "broken.py").write_text("def\n")
    log = json.loads(run(project, "--format", "sarif").stdout)
    validator = jsonschema.Draft4Validator(json.loads((ROOT / "tests" / "audit" / "sarif-2.1.0.json").read_text()))
    assert list(validator.iter_errors(log)) == []
    log["runs"][0]["results"][0]["level"] = "fatal"
    assert list(validator.iter_errors(log)), "the schema finds nothing wrong with a wrong log"
    assert [one["ruleId"] for one in log["runs"][0]["results"]] == [*RULES_OF_BAD, "ASM013"]
    assert [one["id"] for one in log["runs"][0]["tool"]["driver"]["rules"]] == list(RULES)
    uri = log["runs"][0]["results"][-1]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
    assert uri == "app/%C3%BCml%C3%A4ut%20x.py"


def test_github_annotations_are_one_line_each(project: Path) -> None:
    done = run(project, "--format", "github")
    lines = done.stdout.splitlines()
    assert len(lines) == 3
    assert lines[-1].startswith("::error file=app/db.py,line=13,col=47,endLine=13,title=ASM013::")


def test_a_rule_is_explained() -> None:
    done = run("--explain", "asm013")
    assert done.returncode == 0
    assert done.stdout.startswith("ASM013 (error): ")
    assert len(run("--rules").stdout.splitlines()) == len(RULES)


def test_a_password_is_not_printed(project: Path) -> None:
    (project / "app" / "db.py").write_text(BAD.replace("//localhost", "//app:hunter22@localhost"))
    for form in ("text", "json", "sarif", "github"):
        done = run(project, "--format", form)
        assert "ASM012" in done.stdout
        assert "hunter22" not in done.stdout + done.stderr


# ---- choice ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--rule", "ASM013"], ["ASM013"]),
        (["--rule", "asm013", "--rule", "ASM001"], ["ASM001", "ASM013"]),
        (["--ignore", "ASM013"], ["ASM012", "ASM001"]),
        (["--exclude", "db.py"], []),
        (["--exclude", "app"], []),
        (["app/good.py"], []),
        (["app"], RULES_OF_BAD),
    ],
)
def test_the_command_line_chooses(project: Path, arguments: list[str], expected: list[str]) -> None:
    if "app" in arguments and "--exclude" in arguments:
        (project / "main.py").write_text("x = 1\n")
    done = run(*arguments, at=project)
    assert found(done) == expected
    assert done.returncode == (1 if expected else 0)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('select = ["ASM013"]', ["ASM013"]),
        ('ignore = ["ASM013", "ASM001"]', ["ASM012"]),
        ('exclude = ["app/db.py"]', []),
        ('per-file-ignores = { "app/*" = ["ASM013"] }', ["ASM012", "ASM001"]),
        ('per-file-ignores = { "other/*" = ["ASM013"] }', RULES_OF_BAD),
    ],
)
def test_pyproject_chooses(project: Path, text: str, expected: list[str]) -> None:
    settings(project, text)
    assert found(run(project)) == expected
    assert found(run(project / "app")) == expected


@pytest.mark.parametrize(
    "comment", ["# noqa: ASM013", "# NOQA:ASM013", "# noqa: E501, ASM013", "# noqa", "# why  # noqa: ASM013"]
)
def test_a_noqa_silences_its_line(project: Path, comment: str) -> None:
    (project / "app" / "db.py").write_text(BAD.replace("datetime.utcnow)", f"datetime.utcnow)  {comment}"))
    assert found(run(project)) == ["ASM012", "ASM001"]


@pytest.mark.parametrize("comment", ["# noqa: ASM012", "# noqa: E501", "noqa: ASM013"])
def test_a_noqa_for_something_else_silences_nothing(project: Path, comment: str) -> None:
    comment = comment if comment.startswith("#") else f'; """{comment}"""'
    (project / "app" / "db.py").write_text(BAD.replace("datetime.utcnow)", f"datetime.utcnow)  {comment}"))
    assert found(run(project)) == RULES_OF_BAD


def test_a_baseline_leaves_what_is_old(project: Path) -> None:
    assert run(project, "--write-baseline", project / "old.json").returncode == 0
    done = run(project, "--baseline", project / "old.json")
    assert (done.returncode, found(done)) == (0, [])
    path = project / "app" / "db.py"
    path.write_text(
        "# one more line\n" + path.read_text() + "    later: datetime = Field(default_factory=datetime.utcnow)\n"
    )
    done = run(project, "--baseline", project / "old.json")
    assert (done.returncode, found(done)) == (1, ["ASM013"])
    assert "app/db.py:15:" in done.stdout
    path.write_text(path.read_text() + HERO.splitlines()[-1] + "\n")
    assert len(found(run(project, "--baseline", project / "old.json"))) == 2, "the same line twice is new once"
    settings(project, 'baseline = "old.json"')
    assert len(found(run(project))) == 2


# ---- wrong calls ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "text", "reason"),
    [
        (["nowhere"], "", "nowhere does not exist"),
        (["--rule", "ASM999"], "", "--rule: no rule ASM999; they are ASM001 to ASM030"),
        (["--explain", "E501"], "", "--explain: no rule E501"),
        (["--format", "xml"], "", "invalid choice: 'xml'"),
        (["--baseline", "nowhere.json"], "", "nowhere.json: No such file or directory; write it with --write-baseline"),
        (["--baseline", "pyproject.toml"], "", "pyproject.toml: not a baseline"),
        (["--write-baseline", "no/where.json"], "", "no/where.json: No such file or directory"),
        (["."], 'selct = ["ASM013"]', "unknown selct; the keys are select, ignore"),
        (["."], 'select = ["ASM999"]', "[tool.async-sqlmodel]: select: no rule ASM999"),
        (["."], 'select = "ASM013"', "select is a list of texts"),
        (["."], "possible = 1", "possible is true or false"),
        (["."], 'per-file-ignores = ["x"]', "per-file-ignores is a table such as"),
        (["."], "select = [", "pyproject.toml: "),
        ([".", "/"], "", "is not in"),
    ],
)
def test_a_wrong_call_gets_one_line_and_exit_code_2(
    project: Path, arguments: list[str], text: str, reason: str
) -> None:
    if text:
        settings(project, text)
    done = run(*arguments, at=project)
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    assert reason in done.stderr


def test_nothing_to_look_at_is_an_error(tmp_path: Path) -> None:
    done = run(tmp_path)
    assert done.returncode == 2
    assert "holds no Python file that can be read: nothing was looked at" in done.stderr
    (tmp_path / "broken.py").write_text("def\n")
    done = run(tmp_path)
    assert done.returncode == 2
    assert "broken.py was not read: line 1: invalid syntax" in done.stderr


def test_files_that_cannot_be_read_are_named(project: Path) -> None:
    (project / "app" / "latin.py").write_bytes("x = 'é'\n".encode("latin-1"))
    (project / "app" / "nul.py").write_bytes(b"x = '\0'\n")
    (project / "app" / "declared.py").write_bytes("# coding: latin-1\nx = 'é'\n".encode("latin-1"))
    (project / "app" / "huge.py").write_text("x = 1\n" * 500_000)
    (project / "app" / "deep.py").write_text("x = " + "(" * 5000 + ")" * 5000 + "\n")
    (project / "outside.py").symlink_to("/etc/passwd")
    (project / "loop").symlink_to(".")
    done = run(project)
    assert found(done) == RULES_OF_BAD
    named = set(re.findall(r"^audit\.py: (\S+) was not read: .", done.stderr, re.MULTILINE))
    assert named >= {"app/latin.py", "app/nul.py", "app/huge.py", "app/deep.py", "outside.py"}
    assert "app/declared.py" not in named


# ---- repairs --------------------------------------------------------------------------------


def test_fix_repairs_and_a_second_run_changes_nothing(project: Path) -> None:
    path = project / "app" / "db.py"
    path.chmod(0o640)
    diff = run(project, "--diff")
    assert diff.returncode == 1
    assert (
        "=datetime.utcnow)\n+    made_at: datetime = Field(default_factory=lambda: datetime.now(UTC))\n" in diff.stdout
    )
    assert path.read_text() == BAD
    done = run(project, "--fix")
    assert (done.returncode, found(done)) == (0, [])
    assert path.stat().st_mode & 0o777 == 0o640
    text = path.read_text()
    ast.parse(text)
    assert text == (
        BAD
        .replace("from datetime import datetime\n", "from datetime import datetime\n")
        .replace("sslmode=require", "ssl=require")
        .replace("class_=AsyncSession)", "class_=AsyncSession, expire_on_commit=False)")
        .replace("session import AsyncSession\n", "session import AsyncSession\nfrom datetime import UTC\n")
        .replace("datetime.utcnow", "lambda: datetime.now(UTC)")
    )
    again = run(project, "--fix", "--diff")
    assert (again.returncode, again.stdout) == (0, "")
    assert path.read_text() == text
    assert not [name for name in os.listdir(project / "app") if name.startswith(".")]


@pytest.mark.parametrize("newline", ["\r\n", "\n"])
@pytest.mark.parametrize(
    "lead", ["", "\ufeff", '"""Text."""\n', "import os\nx = 'é😀'\n", "from __future__ import annotations\n"]
)
def test_a_repair_keeps_newlines_marks_and_letters(project: Path, newline: str, lead: str) -> None:
    path = project / "app" / "db.py"
    old = f"{lead}from datetime import datetime\nfrom sqlmodel import Field, SQLModel\nclass Hero(SQLModel, table=True):\n"
    old += "    n: datetime = Field('ü😀', default_factory=datetime.utcnow)\n"
    old = old.replace("\n", newline)
    path.write_bytes(old.encode())
    assert run(project, "--fix").returncode == 0
    new = path.read_bytes().decode()
    assert "Field('ü😀', default_factory=lambda: datetime.now(UTC))" in new
    assert new.count(newline) == new.count("\n")
    compile(new.removeprefix("\ufeff"), "db.py", "exec")
    assert new.startswith(lead.splitlines()[0] if lead else "from datetime")


def test_a_name_that_is_taken_is_not_imported_over(project: Path) -> None:
    path = project / "app" / "db.py"
    old = f"from datetime import datetime\nfrom sqlmodel import Field, SQLModel\nUTC = 1\nclass Hero{HERO}"
    path.write_text(old)
    done = run(project, "--fix")
    assert (done.returncode, found(done)) == (1, ["ASM013"])
    assert path.read_text() == old


def test_a_file_that_cannot_be_written_is_named(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(path: Path, content: bytes) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(audit, "replace", refuse)
    with pytest.raises(SystemExit) as ended:
        audit.main([str(project), "--fix"])
    assert ended.value.code == 2
    assert "app/db.py: Permission denied" in capsys.readouterr().err
    assert (project / "app" / "db.py").read_text() == BAD
