"""`python -m verify` and `python -m verify.databases`: results on stdout, complaints in one line on stderr, own exit codes."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from verify.plugin import Suite

ROOT = Path(__file__).parents[1]
PAGE = (
    '# Mine\n\n```python\nimport os\n\n1 + 1  # => 2\n```\n\n```bash {norun="installs packages"}\npip install x\n```\n'
)


def verify(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "verify", *map(str, arguments)], capture_output=True, text=True, check=False, cwd=ROOT
    )


def test_help_names_every_command() -> None:
    done = verify("--help")
    assert done.returncode == 0
    for name in ("list", "extract", "check", "sync", "report", "package"):
        assert name in done.stdout
        assert verify(name, "--help").returncode == 0


def test_list_names_every_block(tmp_path: Path) -> None:
    (tmp_path / "mine.md").write_text(PAGE)
    done = verify("list", tmp_path / "mine.md")
    assert done.returncode == 0
    assert [line.split("\t")[1:4] for line in done.stdout.splitlines()] == [
        ["3", "python", "program"],
        ["9", "bash", "norun"],
    ]
    assert "1 norun" in done.stderr


def test_check_finds_and_says_where(tmp_path: Path) -> None:
    (tmp_path / "mine.md").write_text(PAGE)
    done = verify("check", tmp_path / "mine.md")
    assert done.returncode == 1
    assert "mine.md:4:8: F401" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        ([], 2, "COMMAND"),
        (["nosuch"], 2, "nosuch"),
        (["list", "--nosuch"], 2, "--nosuch"),
        (["sync"], 2, "--check"),
        (["list", "nosuch.md"], 3, "nosuch.md:1: cannot be read"),
        (["extract", "nosuch.md"], 3, "nosuch.md:1: cannot be read"),
    ],
)
def test_a_wrong_call_is_one_clear_line(arguments: list[str], code: int, text: str) -> None:
    done = verify(*arguments)
    assert done.returncode == code
    assert text in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_a_broken_page_names_file_and_line(tmp_path: Path) -> None:
    page = tmp_path / "broken.md"
    page.write_text("# Broken\n\n```python {tilte=x}\n1\n```\n")
    for command in ("list", "extract", "check"):
        done = verify(command, page)
        assert done.returncode == 3
        assert done.stderr.startswith(f"{page}:3: unknown key 'tilte'")
    page.write_bytes(b"# Bin\xff\n")
    assert "cannot be read as UTF-8" in verify("list", page).stderr


def test_servers_are_kept_until_they_are_stopped(suite: Suite) -> None:
    suite.server("postgresql")
    keeping = subprocess.Popen(
        [sys.executable, "-m", "verify.databases", "postgresql"], stdout=subprocess.PIPE, text=True
    )
    with keeping:
        assert keeping.stdout
        assert keeping.stdout.readline().startswith("postgresql+asyncpg://postgres@127.0.0.1:")
        keeping.send_signal(signal.SIGINT)
        assert keeping.wait(20) == 0


def test_a_wrong_server_is_a_wrong_call() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "verify.databases", "oracle"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "oracle" in done.stderr
