"""The template's own tests, on every database: in place, and in a copy with an environment of its own."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from verify import databases
from verify.databases import Server
from verify.plugin import Suite

ROOT = Path(__file__).parents[1]
SERVICE = ROOT / "assets" / "service"


def service_tests(folder: Path, python: Path, url: str) -> subprocess.CompletedProcess[str]:
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("TEST_", "DATABASE_", "PYTEST_"))
    }
    return subprocess.run(
        [str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={**environment, "TEST_DATABASE_URL": url, "PYTHONDONTWRITEBYTECODE": "1"},
    )


def judge(done: subprocess.CompletedProcess[str]) -> None:
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    summary = done.stdout.splitlines()[-1]
    assert re.fullmatch(r"\d{3,} passed in .*", summary), summary  # nothing skipped, nothing warned


def test_the_template_passes_its_tests_in_place(server: Server) -> None:
    url = server.database_url("template_test")
    asyncio.run(databases.make_empty(url))
    judge(service_tests(SERVICE, Path(sys.executable), url))
    databases.drop_database(server, "template_test")


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy made by new_service.py, with what its pyproject.toml names installed, and nothing else."""
    folder = tmp_path_factory.mktemp("copies") / "hero-api"
    subprocess.run(
        [sys.executable, "-I", str(ROOT / "scripts" / "new_service.py"), str(folder)], check=True, capture_output=True
    )
    wanted = [f"{folder}[postgresql,mariadb,test]", "-c", str(ROOT / "constraints.txt")]
    python = folder / ".venv" / "bin" / "python"
    if uv := shutil.which("uv"):
        subprocess.run([uv, "venv", "-q", "--python", sys.executable, str(folder / ".venv")], check=True)
        subprocess.run([uv, "pip", "install", "-q", "--python", str(python), "-e", *wanted], check=True)
    else:
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder / ".venv")], check=True)
        base = getattr(sys, "_base_executable", sys.executable)
        pip = [base, "-m", "pip", "--python", str(python), "install", "-q", "--disable-pip-version-check"]
        subprocess.run([*pip, "-e", *wanted], check=True)
    return folder


@pytest.mark.parametrize("name", ["sqlite", "postgresql", "mariadb"])
def test_a_copy_passes_its_tests_with_its_own_environment(suite: Suite, copy: Path, name: str) -> None:
    server = suite.server({"sqlite": "sqlite", "postgresql": "postgresql", "mariadb": "mariadb"}[name])  # type: ignore[arg-type]
    url = server.database_url("copy_test")
    asyncio.run(databases.make_empty(url))
    judge(service_tests(copy, copy / ".venv" / "bin" / "python", url))
    databases.drop_database(server, "copy_test")


@pytest.mark.parametrize("tool", [["ruff", "check", "."], ["ruff", "format", "--check", "."], ["mypy"]])
def test_a_copy_is_clean_by_its_own_settings(copy: Path, tool: list[str]) -> None:
    done = subprocess.run(
        [str(copy / ".venv" / "bin" / tool[0]), *tool[1:]], cwd=copy, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_repository_installs_what_the_template_names() -> None:
    ours = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    theirs = tomllib.loads((SERVICE / "pyproject.toml").read_text())["project"]
    assert ours["run"] == theirs["dependencies"]
    for extra in ("postgresql", "mariadb"):
        assert ours[extra] == theirs["optional-dependencies"][extra]


def test_services_know_nothing_of_fastapi() -> None:
    code = "import sys; import app.services.heroes, app.services.users; print('fastapi' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=SERVICE, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
