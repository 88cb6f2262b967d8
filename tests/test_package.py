"""What is built for users: exactly the allow-list, the same bytes each time, and nothing at all where something is wrong."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from verify import __main__ as command
from verify import agents, extract, package, release
from verify.project import PackageError, Project

ROOT = Path(__file__).parents[1]
SKILL = """---
name: async-sqlmodel
description: "Writes services. Not for Django."
metadata:
  version: "1.2.3"
---

# async-sqlmodel

| you are about to | read |
|---|---|
| test a page | [page.md](references/page.md) |
"""
PROJECT = """[project]
name = "async-sqlmodel"
version = "1.2.3"
description = "A skill"
authors = [{ name = "us" }]
keywords = ["fastapi"]
"""


def expected(root: Path) -> set[str]:
    """What git knows and a user installs, found without the code under test."""
    places = ["SKILL.md", "INDEX.md", "LICENSE", "references", "assets", "scripts"]
    git = ["git", "ls-files", "--cached", "--others", "--exclude-standard", *places]
    names = subprocess.run(git, cwd=root, capture_output=True, text=True, check=True).stdout.splitlines()
    return {name for name in names if not name.startswith("scripts/") or name.split("/")[1] in package.SCRIPTS}


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package of this repository, by the command."""
    out = tmp_path_factory.mktemp("package") / "dist"
    done = subprocess.run(
        [sys.executable, "-m", "verify", "package", "--out", str(out)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [str(path) for path in sorted(out.iterdir())]
    return out


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with one page and one script."""
    monkeypatch.setattr(package, "SCRIPTS", ("new_service.py",))
    root = tmp_path / "repository"
    for name, text in {
        "SKILL.md": SKILL,
        "INDEX.md": "# Index\n\n[Page](references/page.md#why)\n",
        "LICENSE": "MIT\n",
        "README.md": "# People\n",
        "pyproject.toml": PROJECT,
        "references/page.md": "# Page\n\n## Why\n\n[map](../INDEX.md)\n",
        "assets/service/app/main.py": "",
        "assets/service/.env.example": "TITLE=x\n",
        "assets/service/.gitignore": "*.example\n",  # ignores what ships: git must take it all the same
        "scripts/new_service.py": '"""Make a service: quickly."""\n',
        "scripts/verify/tool.py": "",
        "tests/test_x.py": "",
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    (root / ".claude-plugin").mkdir()
    shutil.copy(ROOT / package.ICON, root / package.ICON)
    return root


SMALL = {
    "SKILL.md", "INDEX.md", "LICENSE", "references/page.md", "assets/service/app/main.py", "assets/service/.env.example",
    "assets/service/.gitignore", "scripts/new_service.py",
}  # fmt: skip


# ---- what is built -------------------------------------------------------------------------


def test_the_skill_holds_what_users_install_and_nothing_else(built: Path) -> None:
    found = files(built / "async-sqlmodel")
    assert found == expected(ROOT)
    assert len(found) > 50
    assert {"assets/service/tests/conftest.py", "assets/service/.env.example"} <= found
    assert not any(name.startswith(("tests/", "scripts/verify/", "scripts/dev.py")) for name in found)


def test_every_script_ships_or_stays_behind() -> None:
    git = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "scripts"]
    names = subprocess.run(git, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    assert {name.split("/")[1] for name in names} == {*package.SCRIPTS, *package.STAY}, "name it in verify/package.py"


def test_zip_and_plugin_hold_the_same(built: Path) -> None:
    version = Project.read(ROOT).version
    with zipfile.ZipFile(built / f"async-sqlmodel-{version}.zip") as archive:
        zipped = {info.filename: archive.read(info) for info in archive.infolist()}
        assert list(zipped) == sorted(zipped)
        assert {info.date_time[0] for info in archive.infolist()} == {1980}
    assert zipped == {
        f"async-sqlmodel/{name}": (built / "async-sqlmodel" / name).read_bytes() for name in expected(ROOT)
    }
    assert files(built / "plugin") == {f"skills/async-sqlmodel/{name}" for name in expected(ROOT)} | {
        "README.md", "LICENSE", "AGENTS.md", ".claude-plugin/plugin.json", ".claude-plugin/marketplace.json", package.ICON,
    }  # fmt: skip


def test_every_manifest_has_the_version_of_pyproject(built: Path) -> None:
    version = Project.read(ROOT).version
    plugin, marketplace = (
        json.loads((built / "plugin" / ".claude-plugin" / f"{name}.json").read_text())
        for name in ("plugin", "marketplace")
    )
    assert plugin["version"] == marketplace["plugins"][0]["version"] == version
    assert f"version {version}" in (built / "plugin" / "README.md").read_text()
    assert (built / f"async_sqlmodel_skill-{version}-py3-none-any.whl").exists()


def test_equal_sources_give_equal_files(small: Path, tmp_path: Path) -> None:
    (small / "scripts" / "new_service.py").chmod(0o755)
    package.build(small, tmp_path / "one")
    for path in small.rglob("*"):
        os.utime(path, (1, 1))
    before = os.umask(0o077)
    try:
        package.build(small, tmp_path / "two")
    finally:
        os.umask(before)
    for name in ("async-sqlmodel-1.2.3.zip", "async_sqlmodel_skill-1.2.3-py3-none-any.whl"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    with zipfile.ZipFile(tmp_path / "two" / "async-sqlmodel-1.2.3.zip") as archive:
        modes = {info.filename: info.external_attr >> 16 & 0o777 for info in archive.infolist()}
    assert {name for name, mode in modes.items() if mode == 0o755} == {"async-sqlmodel/scripts/new_service.py"}
    for place in ("async-sqlmodel", "plugin/skills/async-sqlmodel"):
        assert (tmp_path / "two" / place / "scripts" / "new_service.py").stat().st_mode & 0o777 == 0o755
        assert (tmp_path / "two" / place / "SKILL.md").stat().st_mode & 0o777 == 0o644


def test_what_the_work_leaves_behind_is_never_shipped(small: Path, tmp_path: Path) -> None:
    for name in (
        "assets/service/.env", "assets/service/service.db", "assets/service/service.db-wal", "assets/service/.venv/x.py",
        "assets/service/app/__pycache__/main.pyc", "assets/service/build/x.py", "scripts/dev.py",
    ):  # fmt: skip
        (small / name).parent.mkdir(parents=True, exist_ok=True)
        (small / name).write_text("secret")
    package.build(small, tmp_path / "dist")
    assert files(tmp_path / "dist" / "async-sqlmodel") == SMALL


def test_a_new_build_replaces_the_old_one(small: Path, tmp_path: Path) -> None:
    package.build(small, tmp_path / "dist")
    (small / "pyproject.toml").write_text(PROJECT.replace("1.2.3", "1.3.0"))
    (small / "SKILL.md").write_text(SKILL.replace("1.2.3", "1.3.0"))
    package.build(small, tmp_path / "dist")
    assert sorted(path.name for path in (tmp_path / "dist").iterdir()) == [
        "AGENTS.md", "async-sqlmodel", "async-sqlmodel-1.3.0.zip", "async_sqlmodel_skill-1.3.0-py3-none-any.whl", "plugin",
    ]  # fmt: skip


# ---- what is not built ---------------------------------------------------------------------


def put(name: str, text: str) -> Callable[[Path], object]:
    return lambda root: (root / name).write_text(text)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (put("references/notes.txt", "x"), r"references/notes\.txt is not of a kind that ships: remove it"),
        (put("assets/service/dump.sql", "x"), r"assets/service/dump\.sql is not of a kind that ships"),
        (lambda root: (root / "references/x.md").symlink_to("/etc/hosts"), r"references/x\.md is not of a kind"),
        (put("references/page.md", "# P\n\n[x](gone.md)\n\n## Why\n"), r"references/page\.md:3: gone\.md leads to gone\.md, which"),
        (put("INDEX.md", "# I\n\n[x](references/page.md#no)\n"), r"INDEX\.md:3: .* no heading with the anchor #no"),
        (put("INDEX.md", "# I\n\n[x](README.md)\n"), r"INDEX\.md:3: README\.md leads to README\.md, which does not exist"),
        (put("references/page.md", "# P\n\n[x](../..)\n\n## Why\n"), r"references/page\.md:3: \.\./\.\. leads out of async-sqlmodel"),
        (lambda root: (root / "scripts/new_service.py").unlink(), r"scripts/new_service\.py does not exist: restore it"),
        (lambda root: (root / "INDEX.md").unlink(), r"INDEX\.md does not exist"),
        (put("scripts/new_service.py", '"""X."""\nimport verify\n'), r"scripts/new_service\.py --help fails with a bare `python3 -I`: ModuleNotFoundError: No module named 'verify'"),
        (put("scripts/new_service.py", '"""X."""\nimport sqlmodel\n'), r"No module named 'sqlmodel'"),
        (put("SKILL.md", SKILL.replace("1.2.3", "1.2.4")), r"SKILL\.md says version 1\.2\.4, pyproject\.toml says 1\.2\.3"),
        (put("pyproject.toml", PROJECT.replace("1.2.3", "1.2")), r"the version 1\.2 is not of the form 1\.2\.3"),
        (put("SKILL.md", SKILL.replace("name: a", "name: A")), r"SKILL\.md: .*must be lowercase"),
        (put("SKILL.md", SKILL.replace("---\n", "", 1)), r"SKILL\.md: "),
        (put("SKILL.md", SKILL.partition("| you")[0] + "[p](INDEX.md)\n"), r"SKILL\.md says of no page when to read it"),
    ],
)  # fmt: skip
def test_a_wrong_package_is_not_built(
    small: Path, tmp_path: Path, damage: Callable[[Path], object], message: str
) -> None:
    out = tmp_path / "dist"
    out.mkdir()
    (out / "AGENTS.md").write_text("of the last build")
    damage(small)
    with pytest.raises(PackageError, match=message) as caught:
        package.build(small, out)
    assert len(str(caught.value).splitlines()) == 1
    assert str(tmp_path) not in str(caught.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dist", "repository"]
    assert [path.name for path in out.iterdir()] == ["AGENTS.md"]
    assert (out / "AGENTS.md").read_text() == "of the last build"


def test_a_script_that_works_only_without_isolation_is_found(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(package, "SCRIPTS", ("new_service.py", "helper.py"))
    (small / "scripts" / "helper.py").write_text('"""Help."""\n')
    (small / "scripts" / "new_service.py").write_text('"""X."""\nimport helper\n')
    with pytest.raises(PackageError, match=r"scripts/new_service\.py --help fails .* No module named 'helper'"):
        package.build(small, tmp_path / "dist")
    found = '"""X."""\nimport sys\nfrom pathlib import Path\nsys.path.insert(0, str(Path(__file__).parent))\nimport helper\n'
    (small / "scripts" / "new_service.py").write_text(found)
    package.build(small, tmp_path / "dist")
    assert "__pycache__" not in str(files(tmp_path / "dist"))


def test_a_module_that_is_forgotten_in_the_wheel_is_found(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    careless = package._WHEEL_PROJECT.replace("ignore-vcs", 'exclude = ["*.mako", "main.py"]\nignore-vcs')
    monkeypatch.setattr(package, "_WHEEL_PROJECT", careless)
    with pytest.raises(PackageError, match=r"the wheel and the skill differ in assets/service/app/main\.py"):
        package.build(small, tmp_path / "dist")


def test_a_folder_that_holds_something_else_is_left_alone(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(extract, "ROOT", small)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "precious").write_text("x")
    assert command.main(["package", "--out", str(tmp_path / "mine")]) == 2
    printed = capsys.readouterr()
    assert printed.err == f"{tmp_path / 'mine'}: holds precious, which this command did not make; name another folder\n"
    assert printed.out == ""
    assert os.listdir(tmp_path / "mine") == ["precious"]


def test_a_wrong_package_is_one_line_and_an_exit_code(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(extract, "ROOT", small)
    (small / "LICENSE").unlink()
    assert command.main(["package", "--out", str(tmp_path / "dist")]) == 1
    printed = capsys.readouterr()
    assert printed.err.startswith("LICENSE does not exist")
    assert len(printed.err.splitlines()) == 1
    assert not (tmp_path / "dist").exists()


# ---- releases ------------------------------------------------------------------------------


def test_this_repository_was_not_changed_since_its_version_was_released() -> None:
    release.check(ROOT, Project.read(ROOT).version, package.digest(ROOT))


def raise_version(root: Path, version: str) -> None:
    for name in ("pyproject.toml", "SKILL.md"):
        text = (root / name).read_text()
        (root / name).write_text(re.sub(r"\d+\.\d+\.\d+", version, text, count=1))


def test_before_the_first_release_content_may_change(small: Path, tmp_path: Path) -> None:
    package.build(small, tmp_path / "dist")
    (small / "INDEX.md").write_text("# New\n\n[p](references/page.md)\n")
    package.build(small, tmp_path / "dist")


@pytest.mark.parametrize(
    "change",
    [
        put("references/page.md", "# Page\n\n## Why\n\nOther words: [map](../INDEX.md)\n"),
        put("references/second.md", "# Second\n"),
        put("assets/service/app/new.py", ""),
        lambda root: (root / "assets/service/.env.example").unlink(),
        lambda root: (root / "scripts/new_service.py").chmod(0o755),
    ],
)
def test_after_a_release_content_changes_only_with_the_version(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], object]
) -> None:
    monkeypatch.setattr(extract, "ROOT", small)
    assert command.main(["package", "--out", str(tmp_path / "dist"), "--release"]) == 0
    (small / "tests" / "test_x.py").write_text("assert True\n")  # is not shipped
    package.build(small, tmp_path / "dist")
    change(small)
    with pytest.raises(PackageError, match=r"changed since 1\.2\.3 was released: raise the version in pyproject\.toml"):
        package.build(small, tmp_path / "dist")
    raise_version(small, "1.2.4")
    package.build(small, tmp_path / "dist")
    raise_version(small, "1.1.9")
    with pytest.raises(PackageError, match=r"version 1\.1\.9 is lower than 1\.2\.3, which was released"):
        package.build(small, tmp_path / "dist")


def test_a_release_cannot_be_recorded_anew_with_other_content(small: Path) -> None:
    release.record(small, "1.10.0", "a")
    release.record(small, "1.10.0", "a")
    with pytest.raises(PackageError, match="raise the version"):
        release.record(small, "1.10.0", "b")
    with pytest.raises(PackageError, match="lower"):
        release.record(small, "1.9.0", "b")
    release.record(small, "1.11.0", "b")
    assert release.recorded(small) == ("1.11.0", "b")


# ---- the branch ----------------------------------------------------------------------------


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def repository(small: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The small one, under git, with a released version."""
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "us")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "us@example.org")
    monkeypatch.setattr(extract, "ROOT", small)
    assert command.main(["package", "--out", str(small / "dist"), "--release"]) == 0
    (small / ".gitignore").write_text("dist/\n")
    git(small, "init", "-q", "-b", "main")
    git(small, "add", ".")
    git(small, "commit", "-q", "-m", "sources")
    return small


def test_the_branch_holds_the_plugin_and_nothing_else_moves(repository: Path) -> None:
    before = git(repository, "rev-parse", "main")
    arguments = ["package", "--out", str(repository / "dist"), "--branch", "skill"]
    assert command.main(arguments) == 0
    tip = git(repository, "rev-parse", "skill")
    held = set(git(repository, "ls-tree", "-r", "--name-only", "skill").splitlines())
    assert held == files(repository / "dist" / "plugin")
    assert "skills/async-sqlmodel/assets/service/.env.example" in held
    assert git(repository, "log", "--format=%s", "skill") == "async-sqlmodel 1.2.3"
    assert (git(repository, "rev-parse", "main"), git(repository, "status", "--short")) == (before, "")
    assert command.main(arguments) == 0
    assert git(repository, "rev-parse", "skill") == tip
    raise_version(repository, "1.3.0")
    assert command.main([*arguments[:3], "--release"]) == 0
    assert command.main(arguments) == 0
    assert git(repository, "log", "--format=%s", "skill").splitlines() == [
        "async-sqlmodel 1.3.0",
        "async-sqlmodel 1.2.3",
    ]


@pytest.mark.parametrize(
    ("prepare", "branch", "message"),
    [
        (lambda _: None, "main", "the branch main exists and holds no plugin"),
        (lambda root: raise_version(root, "1.2.4"), "skill", r"1\.2\.4 is not released: run `python -m verify package"),
        (lambda root: (root / release.RECORD).unlink(), "skill", r"1\.2\.3 is not released"),
        (lambda root: shutil.rmtree(root / ".git"), "skill", r"git rev-parse: .*not a git repository"),
        (lambda _: None, "no..name", "git update-ref: "),
    ],
)
def test_a_branch_is_not_made_where_it_would_be_wrong(
    repository: Path,
    prepare: Callable[[Path], object],
    branch: str,
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(repository.parent))
    prepare(repository)
    refs = git(repository, "for-each-ref") if (repository / ".git").exists() else ""
    assert command.main(["package", "--out", str(repository / "dist"), "--branch", branch]) == 1
    error = capsys.readouterr().err
    assert re.match(message, error)
    assert len(error.splitlines()) == 1
    assert not refs or git(repository, "for-each-ref") == refs


# ---- AGENTS.md -----------------------------------------------------------------------------


def test_the_index_for_agents_is_short_and_true(built: Path, tmp_path: Path) -> None:
    text = (built / "AGENTS.md").read_text(encoding="utf-8")
    assert len(text.encode()) < 2048
    assert (built / "plugin" / "AGENTS.md").read_text(encoding="utf-8") == text
    root = re.search(r"\|root: (\S+)", text)
    assert root
    (tmp_path / root[1]).parent.mkdir(parents=True)
    (tmp_path / root[1]).symlink_to(built / "async-sqlmodel")
    for name in ("SKILL.md", "INDEX.md"):
        assert name in text
        assert (tmp_path / root[1] / name).is_file()
    entries = text.splitlines()[-1].removeprefix("|").split("|")
    named = [page for entry in entries for page in entry.rpartition("=")[2].split(",")]
    there = {path.stem for path in (built / "async-sqlmodel" / "references").glob("*.md")}
    assert set(named) == there
    command = re.search(r"^\|(python3 .* --help), ", text, re.MULTILINE)
    assert command
    scripts = re.findall(r"=(\w+\.py)(?=[|\n])", text)
    assert sorted(scripts) == sorted(path.name for path in (built / "async-sqlmodel" / "scripts").glob("*.py"))
    for name in scripts:
        line = command[1].replace("NAME", name)
        assert subprocess.run(["bash", "-c", line], cwd=tmp_path, capture_output=True, check=False).returncode == 0


def test_the_index_says_when_to_read_a_page(built: Path) -> None:
    """Each purpose is the start of what stands before the link in SKILL.md."""
    router = (ROOT / "SKILL.md").read_text(encoding="utf-8").replace("`", "")
    entries = (built / "AGENTS.md").read_text(encoding="utf-8").splitlines()[-1].removeprefix("|").split("|")
    assert len(entries) > 10
    for said, _, names in (entry.rpartition("=") for entry in entries if not entry.startswith("more=")):
        (line,) = (
            line
            for line in router.splitlines()
            if all(f"(references/{name}.md" in line for name in names.split(",")) and said in line
        )
        assert line.index(said) < line.index(f"(references/{names.split(',')[0]}.md")


@pytest.mark.parametrize(
    ("line", "entries"),
    [
        ("| Set up | new: `x`; else [a](references/a.md), [b](references/b.md#x) | `y` |", "Set up=a,b"),
        ("- SQLite: locks, memory: [a](references/a.md). Search, `JSON`: [b](references/b.md).", "SQLite: locks, memory=a|Search, JSON=b"),
        ("- It is slow: [a](references/a.md), then [b](references/b.md), [c](references/c.md).", "It is slow=a,b,c"),
        ("- A word that no page explains: [INDEX.md](INDEX.md). Locks: [a](references/a.md)", "Locks=a"),
    ],
)  # fmt: skip
def test_occasions_are_found_in_tables_and_lists(tmp_path: Path, line: str, entries: str) -> None:
    (tmp_path / "SKILL.md").write_text(f"# T\n\n{line}\n\nSee [other](references/other.md).\n")
    assert agents.generate(tmp_path).splitlines()[-1] == f"|{entries}"


def table(rows: int) -> str:
    lines = [
        f"| do the thing with a rather long name and number {n}, well | [p](references/p{n}.md) |" for n in range(rows)
    ]
    return "\n".join(["| you are about to | read |", "|---|---|", *lines, ""])


def test_purposes_are_cut_at_words_until_the_index_fits(tmp_path: Path) -> None:
    (tmp_path / "SKILL.md").write_text(table(20))
    assert "|do the thing with a rather long name and number 3, well=p3|" in agents.generate(tmp_path)
    (tmp_path / "SKILL.md").write_text(table(50))
    text = agents.generate(tmp_path)
    assert len(text.encode()) < agents.LIMIT
    assert "|do the thing with a rather=p3|" in text
    (tmp_path / "SKILL.md").write_text(table(400))
    with pytest.raises(PackageError, match=r"AGENTS\.md would have \d{4} bytes, and must have less than 2048"):
        agents.generate(tmp_path)


def test_a_script_that_does_not_say_what_it_does_is_an_error(small: Path) -> None:
    (small / "scripts" / "new_service.py").write_text("pass\n")
    with pytest.raises(PackageError, match=r"scripts/new_service\.py has no docstring"):
        agents.generate(small)


def test_pages_that_the_router_does_not_name_are_in_the_index_all_the_same(small: Path) -> None:
    (small / "references" / "second.md").write_text("# Second\n")
    assert agents.generate(small).endswith("|test a page=page|more=second\n")
