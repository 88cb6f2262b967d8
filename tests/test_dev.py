"""The two commands, from the outside."""

from __future__ import annotations

import ast
import json
import os
import runpy
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import time
import urllib.request
from pathlib import Path

import pytest

from verify import databases, demo
from verify.plugin import Suite

ROOT = Path(__file__).parents[1]
DEV = ROOT / "scripts" / "dev.py"


def run(
    dev: Path, *arguments: str, python: str = sys.executable, cwd: Path | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [python, str(dev), *arguments],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        cwd=cwd,
        env={**os.environ, **environment},
    )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def copy_repository(target: Path) -> None:
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    files = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True)
    for name in files.stdout.splitlines():
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target / name)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the files of the repository, without an environment."""
    copy_repository(tmp_path / "clone")
    return tmp_path / "clone"


@pytest.fixture(scope="module")
def dev(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """dev.py of a copy whose environment borrows the packages of the running one, which is not touched."""
    clone = tmp_path_factory.mktemp("installed") / "clone"
    copy_repository(clone)
    base = getattr(sys, "_base_executable", sys.executable)
    subprocess.run([base, "-m", "venv", "--without-pip", str(clone / ".venv")], check=True)
    packages = sysconfig.get_path("purelib", vars={"base": str(clone / ".venv")})
    Path(packages, "borrowed.pth").write_text(f"{clone / 'scripts'}\n{sysconfig.get_path('purelib')}\n")
    file = clone / "scripts" / "dev.py"
    runpy.run_path(str(file))["write_stamp"](runpy.run_path(str(file))["fingerprint"](), {"test"})
    return file


def test_the_demo_answers_right_twice(dev: Path) -> None:
    first = run(dev, "demo", "--check")
    assert first.returncode == 0, first.stderr
    assert "All answers are right." in first.stdout
    second = run(dev, "demo", "--check")
    assert second.returncode == 0, second.stderr
    assert "Reused build/demo" in second.stdout
    assert "found 3 heroes" in second.stdout


def test_the_demo_serves_until_ctrl_c(dev: Path) -> None:
    port = free_port()
    serving = subprocess.Popen(
        [sys.executable, str(dev), "demo", "--port", str(port)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    with serving:
        assert serving.stdout
        said = ""
        while "Ctrl-C" not in said:
            line = serving.stdout.readline()
            assert line, serving.stderr.read() if serving.stderr else ""
            said += line
        assert f"http://127.0.0.1:{port}/docs" in said
        assert said.count("curl ") == 3
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/heroes") as response:
            assert json.load(response)["total"] >= 3
        serving.send_signal(signal.SIGINT)
        rest, errors = serving.communicate(timeout=15)
    assert serving.returncode == 0
    assert "Stopped." in rest
    assert errors == ""
    with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
        pass


def test_a_killed_demo_leaves_no_server(dev: Path) -> None:
    port = free_port()
    serving = subprocess.Popen(
        [sys.executable, str(dev), "demo", "--port", str(port)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    with serving:
        assert serving.stdout
        assert any("Ctrl-C" in line for line in serving.stdout)
        serving.kill()
    with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
        pass


def test_the_file_of_a_given_sqlite_url_is_found_from_the_folder_of_the_call(dev: Path, tmp_path: Path) -> None:
    done = run(dev, "demo", "--check", "--database", "sqlite:///mine.db", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "mine.db").stat().st_size > 0


def test_a_taken_port_is_an_error_that_names_a_free_one(dev: Path) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        done = run(dev, "demo", "--port", str(port))
    assert done.returncode == demo.PORT_TAKEN
    assert len(done.stderr.splitlines()) == 1
    assert f"port {port} is taken" in done.stderr
    free = int(done.stderr.rstrip().rpartition(" ")[2])
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", free))


@pytest.mark.parametrize("database", ["postgresql", "mariadb"])
def test_the_demo_runs_on_a_given_database_and_refuses_a_used_one(dev: Path, suite: Suite, database: str) -> None:
    import asyncio

    from sqlalchemy import text
    from sqlalchemy.ext.asyncio import create_async_engine

    server = suite.server("postgresql" if database == "postgresql" else "mariadb")
    url = server.database_url("demo_test")
    asyncio.run(databases.make_empty(url))
    done = run(dev, "demo", "--check", "--database", url)
    assert done.returncode == 0, done.stderr

    async def add_table() -> None:
        engine = create_async_engine(url)
        async with engine.begin() as connection:
            await connection.execute(text("CREATE TABLE precious (id INTEGER)"))
        await engine.dispose()

    asyncio.run(add_table())
    refused = run(dev, "demo", "--check", "--database", url)
    assert refused.returncode == demo.UNUSABLE
    assert "precious" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
    databases.drop_database(server, "demo_test")


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["demo", "--port", "http"], 2, "'http' is not a port"),
        (["demo", "--port", "70000"], 2, "'70000' is not a port"),
        (["demo", "--nosuch"], 2, "--nosuch"),
        (["nosuch"], 2, "nosuch"),
        (["demo", "--database", "nonsense"], demo.USAGE, "is not a database URL"),
        (["demo", "--database", "sqlite://"], demo.USAGE, "is gone with its connection"),
        (["demo", "--database", "postgresql://u:secret@127.0.0.1:1/x"], demo.UNUSABLE, "cannot be reached"),
        (["test", "--nosuch"], 4, "--nosuch"),
        (["test", "nosuch.md"], 4, "nosuch.md"),
    ],
)
def test_a_wrong_call_says_what_is_wrong(dev: Path, arguments: list[str], code: int, text: str) -> None:
    done = run(dev, *arguments)
    assert done.returncode == code, done.stderr
    assert text in done.stderr
    assert len(done.stderr.splitlines()) == 1 or arguments[0] == "test"  # pytest speaks for itself
    assert "Traceback" not in done.stderr
    assert "secret" not in done.stderr


def test_help_is_there(dev: Path) -> None:
    for arguments in (["--help"], ["demo", "--help"]):
        done = run(dev, *arguments)
        assert done.returncode == 0
        assert "usage:" in done.stdout


def test_an_environment_is_made_once_and_only_when_it_must(checkout: Path) -> None:
    """With pip alone: no uv on PATH, no ensurepip."""
    dev = checkout / "scripts" / "dev.py"
    python = getattr(sys, "_base_executable", sys.executable)

    def start(*arguments: str) -> subprocess.CompletedProcess[str]:
        return run(dev, "demo", *arguments, python=python, PATH=str(checkout))

    first = start("--check")
    assert first.returncode == 0, first.stderr
    assert "with pip" in first.stderr
    stamp = checkout / ".venv" / "async-sqlmodel.json"
    made = stamp.stat().st_mtime_ns
    again = start("--help")
    assert again.returncode == 0
    assert again.stderr == ""
    assert stamp.stat().st_mtime_ns == made
    # an interrupted installation leaves no stamp, and a changed file asks for a new one
    with open(checkout / "constraints.txt", "a") as file:
        file.write("\n")
    changed = start("--help")
    assert "Installing" in changed.stderr


def test_a_failed_installation_leaves_nothing_that_counts_as_done(checkout: Path) -> None:
    with open(checkout / "constraints.txt", "a") as file:
        file.write("sqlmodel==0.0.1\n")
    done = run(checkout / "scripts" / "dev.py", "demo", "--help")
    assert done.returncode == 3
    assert "failed with exit code" in done.stderr.splitlines()[-1]
    assert not (checkout / ".venv" / "async-sqlmodel.json").exists()


def test_an_interrupted_installation_is_begun_anew(checkout: Path) -> None:
    dev = checkout / "scripts" / "dev.py"
    interrupted = subprocess.Popen(
        [sys.executable, str(dev), "demo", "--help"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    stamp = checkout / ".venv" / "async-sqlmodel.json"
    while not stamp.exists() or not stamp.read_text():
        assert interrupted.poll() is None
        time.sleep(0.005)
    os.killpg(interrupted.pid, signal.SIGKILL)
    interrupted.wait()
    assert "unfinished" in stamp.read_text()
    half_made = checkout / ".venv" / "half-made"
    half_made.touch()
    again = run(dev, "demo", "--help")
    assert again.returncode == 0, again.stderr
    assert not half_made.exists()


def test_a_folder_that_is_no_environment_is_replaced(checkout: Path) -> None:
    """Without pyvenv.cfg the interpreter in it is the machine's own: an installation would end up there."""
    broken = checkout / ".venv" / "bin"
    broken.mkdir(parents=True)
    (broken / "python").symlink_to(getattr(sys, "_base_executable", sys.executable))
    done = run(checkout / "scripts" / "dev.py", "demo", "--help")
    assert done.returncode == 0, done.stderr
    assert (checkout / ".venv" / "pyvenv.cfg").exists()


def test_dev_can_be_read_by_an_old_python() -> None:
    """3.6 is what Enterprise Linux 8 calls python3; it evaluates annotations, and knows no `set[str]`."""
    tree = ast.parse(DEV.read_text(), feature_version=(3, 6))
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    notes = [note for one in functions for note in (one.returns, *(argument.annotation for argument in one.args.args))]
    assert all(note is None or isinstance(note, ast.Name | ast.Constant) for note in notes)
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module == "__future__"]


def test_an_old_python_is_told_what_is_needed(tmp_path: Path) -> None:
    code = f"import runpy, sys; sys.version_info = (3, 9, 2); runpy.run_path({str(DEV)!r}, run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert "Python 3.11 or newer is needed" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(("version", "text"), [("pip 20.3.4 from x (python 3.11)", "too old"), ("", "has no pip")])
def test_an_old_pip_is_an_error(checkout: Path, tmp_path: Path, version: str, text: str) -> None:
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\necho '{version}'\n")
    python.chmod(0o755)
    code = f"import runpy, sys; sys._base_executable = {str(python)!r}; sys.argv = ['dev.py', 'test']"
    code += f"; runpy.run_path({str(checkout / 'scripts' / 'dev.py')!r}, run_name='__main__')"
    environment = {**os.environ, "PATH": str(tmp_path / "empty")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 3
    assert text in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (checkout / ".venv").exists()


def test_dev_needs_nothing_but_the_standard_library() -> None:
    done = subprocess.run([sys.executable, "-I", "-S", str(DEV), "--help"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_warm_start_is_short(dev: Path) -> None:
    """Not a benchmark: only a new installation would take this long."""
    started = time.monotonic()
    assert run(dev, "demo", "--help").returncode == 0
    assert time.monotonic() - started < 10
