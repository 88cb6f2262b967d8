"""A service that was made out of the template: named right, nothing half-made, and its own tests pass."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "scripts" / "new_service.py"


def run(*arguments: str | Path, user: str | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-I", str(SCRIPT), *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        user=user,
        stdin=subprocess.DEVNULL,
    )


def test_a_service_has_its_name_and_database(tmp_path: Path) -> None:
    done = run(tmp_path / "hero-api", "--database", "postgresql")
    assert done.returncode == 0, done.stderr
    made = tmp_path / "hero-api"
    assert tomllib.loads((made / "pyproject.toml").read_text())["project"]["name"] == "hero-api"
    assert (made / "README.md").read_text().startswith("# Hero Api\n")
    environment = (made / ".env.example").read_text()
    assert "\nDATABASE_URL=postgresql://user:password@localhost/hero_api\n" in environment
    assert environment.count("DATABASE_URL=") == 3
    assert "sqlite:///hero_api.db" in (made / "app" / "config.py").read_text()
    assert len(done.stdout.splitlines()) == 3
    assert os.listdir(tmp_path) == ["hero-api"]


def test_nothing_but_the_template_is_copied(tmp_path: Path) -> None:
    run(tmp_path / "fresh")
    names = {
        path.relative_to(tmp_path / "fresh").as_posix() for path in (tmp_path / "fresh").rglob("*") if path.is_file()
    }
    tracked = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "assets/service"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert names == {name.removeprefix("assets/service/") for name in tracked.stdout.splitlines()}


def test_an_empty_folder_may_be_filled(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert run(tmp_path / "empty", "--name", "x1").returncode == 0


def test_json_says_what_was_made(tmp_path: Path) -> None:
    done = run(tmp_path / "a", "--name", "hero", "--json")
    assert json.loads(done.stdout) == {"path": str(tmp_path / "a"), "name": "hero", "database": "sqlite"}


@pytest.mark.parametrize(
    "name",
    [
        "class",
        "Hero",
        "1st",
        "a b",
        "a--b",
        "-a",
        "a" * 51,
        "app",
        "json",
        "sqlmodel",
        "pydantic_settings",
        "asyncpg",
        "é",
        "a/b",
        "",
    ],
)
def test_a_bad_name_is_refused(tmp_path: Path, name: str) -> None:
    done = run(tmp_path / "x", f"--name={name}")
    assert done.returncode == 2
    assert "--name" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert os.listdir(tmp_path) == []


def test_a_folder_with_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "precious").write_text("x")
    done = run(tmp_path / "mine")
    assert done.returncode == 3
    assert "not an empty folder" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert os.listdir(tmp_path / "mine") == ["precious"]


def test_a_file_in_the_way_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for target in (tmp_path / "file", tmp_path / "file" / "below"):
        done = run(target, "--name", "hero")
        assert done.returncode == 3
        assert len(done.stderr.splitlines()) == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="root makes a folder that another user cannot write")
def test_a_folder_without_permission_is_refused(tmp_path: Path) -> None:
    public = Path("/var/tmp") if Path("/var/tmp").is_dir() else tmp_path
    closed = public / f"closed-{os.getpid()}"
    closed.mkdir(mode=0o755)
    script = public / f"new-service-{os.getpid()}"
    try:
        shutil.copytree(ROOT / "scripts", script / "scripts", ignore=shutil.ignore_patterns("verify"))
        shutil.copytree(ROOT / "assets", script / "assets")
        done = subprocess.run(
            ["/usr/bin/python3" if Path("/usr/bin/python3").exists() else sys.executable, "-I", str(script / "scripts" / "new_service.py"), str(closed / "x")],
            capture_output=True, text=True, check=False, user="nobody",
        )  # fmt: skip
        assert done.returncode == 3, done.stderr
        assert "cannot be written" in done.stderr
        assert os.listdir(closed) == []
    finally:
        shutil.rmtree(closed)
        shutil.rmtree(script)
