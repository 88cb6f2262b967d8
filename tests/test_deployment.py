"""What stands beside the template to ship it: Dockerfile, compose.yaml and the CI workflow, carried out without Docker."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from verify.databases.process import free_port

SERVICE = Path(__file__).parents[1] / "assets" / "service"
BIN = Path(sys.executable).parent
START_SECONDS = 30


def instructions(text: str) -> list[tuple[str, str]]:
    """The instructions of a Dockerfile with their arguments."""
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in lines)]


def image(dockerfile: str, folder: Path) -> list[str]:
    """Do what the Dockerfile does to its WORKDIR, in ``folder``.

    Returns:
        The command of CMD.
    """
    command: list[str] = []
    for word, rest in instructions(dockerfile):
        if word == "COPY":
            *sources, target = shlex.split(rest)
            for source in sources:
                if (SERVICE / source).is_dir():
                    shutil.copytree(SERVICE / source, folder / target, ignore=shutil.ignore_patterns("__pycache__"))
                else:
                    shutil.copy(SERVICE / source, folder / target)
        elif word == "RUN" and rest.startswith("pip install"):
            check_installation(shlex.split(rest)[-1], folder)
        elif word == "CMD":
            command = json.loads(rest)
    return command


def check_installation(target: str, folder: Path) -> None:
    """What ``pip install .[a,b]`` needs stands in the folder by now."""
    project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))
    path, _, extras = target.rstrip("]").partition("[")
    assert path == "."
    assert set(extras.split(",")) == {"postgresql", "mariadb"} & project["project"]["optional-dependencies"].keys()
    for package in project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]:
        assert (folder / package / "__init__.py").is_file(), f"{package} is copied after the installation"


def environment(**more: str) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return {**kept, "PYTHONDONTWRITEBYTECODE": "1", **more}


def migrate_and_serve(folder: Path, command: list[str], migration: str) -> list[int]:
    """Run the migration, then the server, ask it, and stop it.

    Returns:
        The status of ready and of a creation, and the exit code of the server: uvicorn stops, then raises SIGTERM anew.
    """
    env = environment(DATABASE_URL=f"sqlite:///{folder / 'service.db'}")
    subprocess.run(
        [sys.executable, "-m", *shlex.split(migration)], cwd=folder, env=env, check=True, capture_output=True
    )
    port = free_port()
    command = [str(port) if word == "8000" else word for word in command]
    server = subprocess.Popen([sys.executable, "-m", *command], cwd=folder, env=env, stderr=subprocess.DEVNULL)
    try:
        wait_for(port)
        with httpx.Client(base_url=f"http://127.0.0.1:{port}") as http:
            statuses = [
                http.get("/health/ready").status_code,
                http.post("/teams", json={"name": "Preventers", "headquarters": "Sharp Tower"}).status_code,
            ]
        server.send_signal(signal.SIGTERM)
        return [*statuses, server.wait(START_SECONDS)]
    finally:
        server.kill()
        server.wait()


def wait_for(port: int) -> None:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise AssertionError(f"nothing listens on port {port}")


def compose() -> dict[str, Any]:
    services: dict[str, Any] = yaml.safe_load((SERVICE / "compose.yaml").read_text(encoding="utf-8"))["services"]
    return services


def test_what_the_dockerfile_copies_migrates_and_serves(tmp_path: Path) -> None:
    command = image((SERVICE / "Dockerfile").read_text(encoding="utf-8"), tmp_path)
    assert migrate_and_serve(tmp_path, command, compose()["migrate"]["command"]) == [200, 201, -signal.SIGTERM]


def test_a_dockerfile_that_forgets_the_migrations_is_found(tmp_path: Path) -> None:
    text = (SERVICE / "Dockerfile").read_text(encoding="utf-8")
    command = image(text.replace("COPY migrations migrations\n", ""), tmp_path)
    with pytest.raises(subprocess.CalledProcessError):
        migrate_and_serve(tmp_path, command, compose()["migrate"]["command"])


@pytest.mark.parametrize(
    ("old", "new"), [("COPY app app\n", ""), ("[postgresql,mariadb]", "[postgres]"), ("README.md", "NOWHERE.md")]
)
def test_a_dockerfile_that_cannot_install_is_found(tmp_path: Path, old: str, new: str) -> None:
    text = (SERVICE / "Dockerfile").read_text(encoding="utf-8")
    assert old in text
    with pytest.raises((AssertionError, FileNotFoundError)):
        image(text.replace(old, new), tmp_path)


def test_the_container_runs_without_root() -> None:
    found = instructions((SERVICE / "Dockerfile").read_text(encoding="utf-8"))
    assert [rest for word, rest in found if word == "USER"] == ["service"]
    assert found[-1][0] == "CMD"


def test_compose_migrates_before_it_serves_with_the_login_of_its_database() -> None:
    services = compose()
    given = services["database"]["environment"]
    url = f"postgresql://{given['POSTGRES_USER']}:{given['POSTGRES_PASSWORD']}@database/{given['POSTGRES_DB']}"
    for name in ("migrate", "service"):
        assert services[name]["build"] == "."
        assert services[name]["environment"] == {"DATABASE_URL": url}
    assert services["migrate"]["depends_on"] == {"database": {"condition": "service_healthy"}}
    assert services["service"]["depends_on"] == {"migrate": {"condition": "service_completed_successfully"}}
    assert given["POSTGRES_USER"] in services["database"]["healthcheck"]["test"]
    assert services["service"]["ports"] == ["127.0.0.1:8000:8000"]  # not open to the network


def test_the_steps_of_the_ci_workflow_pass() -> None:
    workflow = yaml.safe_load((SERVICE / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8"))
    job = workflow["jobs"]["test"]
    commands = [step["run"] for step in job["steps"] if "run" in step]
    assert [command for command in commands if command.startswith("pip")] == [
        "pip install -e '.[postgresql,mariadb,test]'"
    ]
    for command in commands:
        if not command.startswith("pip"):
            done = subprocess.run(
                ["bash", "-euc", command],
                cwd=SERVICE,
                env=environment(PATH=f"{BIN}{os.pathsep}{os.environ['PATH']}", PYTEST_ADDOPTS="-q -p no:cacheprovider"),
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, f"{command}: {done.stdout[-3000:]}{done.stderr[-2000:]}"


def test_the_ci_workflow_tests_on_every_database_with_its_login() -> None:
    workflow = yaml.safe_load((SERVICE / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8"))
    job = workflow["jobs"]["test"]
    postgres, mariadb = (job["services"][name]["env"] for name in ("postgres", "mariadb"))
    assert job["strategy"]["matrix"]["url"] == [
        "",
        f"postgresql://postgres:{postgres['POSTGRES_PASSWORD']}@127.0.0.1/{postgres['POSTGRES_DB']}",
        f"mariadb://root:{mariadb['MARIADB_ROOT_PASSWORD']}@127.0.0.1/{mariadb['MARIADB_DATABASE']}",
    ]
    assert job["steps"][-1]["env"] == {"TEST_DATABASE_URL": "${{ matrix.url }}"}
