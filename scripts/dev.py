#!/usr/bin/env python3
"""The two commands of the README: `demo` serves a service made out of the template, `test` runs everything.

Both make `.venv` first, with uv where it is on PATH and else with pip, and only when something changed.
Exit codes: those of the command; 2 a wrong call, 3 no environment could be made.
This file alone must also be read by a Python that is too old, so that it can say so: no newer syntax, and the
annotations that such a Python cannot evaluate are quoted.
"""

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from typing import Any, NoReturn

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
VENV = os.path.join(ROOT, ".venv")
STAMP = os.path.join(VENV, "async-sqlmodel.json")
BASE = getattr(sys, "_base_executable", sys.executable)  # also when .venv itself runs this
UNFINISHED = "unfinished"  # the stamp of an installation that was interrupted
OLDEST_PYTHON, OLDEST_PIP = (3, 11), (22, 3)
NO_ENVIRONMENT = 3


def fail(text: str) -> NoReturn:
    """Say what is wrong in one line, and end."""
    sys.stderr.write(f"dev.py: {text}\n")
    sys.exit(NO_ENVIRONMENT)


def python_of_venv() -> str:
    """The interpreter of .venv."""
    return os.path.join(VENV, "Scripts", "python.exe") if os.name == "nt" else os.path.join(VENV, "bin", "python")


def fingerprint() -> str:
    """Changes with whatever the installation depends on."""
    digest = hashlib.sha256(repr((sys.version_info[:2], sys.platform)).encode())
    for name in ("pyproject.toml", "constraints.txt"):
        with open(os.path.join(ROOT, name), "rb") as file:
            digest.update(file.read())
    return digest.hexdigest()


def stamp() -> "dict[str, Any]":
    """What the last installation wrote; empty where there was none."""
    try:
        with open(STAMP, encoding="utf-8") as file:
            return dict(json.load(file))
    except (OSError, ValueError):
        return {}


def write_stamp(of: str, extras: "set[str]") -> None:
    """Note what `.venv` holds."""
    with open(STAMP, "w", encoding="utf-8") as file:
        json.dump({"fingerprint": of, "extras": sorted(extras)}, file)


def installed_extras() -> "set[str]":
    """What a finished installation of the present files holds; empty where there is none."""
    made = stamp()
    current = made.get("fingerprint") == fingerprint() and os.path.exists(python_of_venv())
    return set(made["extras"]) if current else set()


def make_environment(extras: "set[str]") -> None:
    """Make `.venv` hold the project with these extras; ends the process where that is impossible."""
    have = installed_extras()
    if extras <= have or "test" in have:
        return
    extras = extras | have
    uv = shutil.which("uv")
    if not uv:
        check_pip()
    sys.stderr.write(f"Installing into .venv with {'uv' if uv else 'pip'} (only when something changed) ...\n")
    if stamp().get("fingerprint") == UNFINISHED or not same_python():
        shutil.rmtree(VENV, ignore_errors=True)
        run([uv, "venv", "--quiet", "--python", BASE, VENV] if uv else [BASE, "-m", "venv", "--without-pip", VENV])
    write_stamp(UNFINISHED, set())
    own = ["-c", os.path.join(ROOT, "constraints.txt"), "-e", f"{ROOT}[{','.join(sorted(extras))}]"]
    pip = [BASE, "-m", "pip", "--python", python_of_venv(), "install", "--quiet", "--disable-pip-version-check"]
    try:
        run([uv, "pip", "install", "--quiet", "--python", python_of_venv(), *own] if uv else [*pip, *own])
    except SystemExit:  # the installer has cleaned up after itself
        os.remove(STAMP)
        raise
    write_stamp(fingerprint(), extras)


def same_python() -> bool:
    """Whether `.venv` is there, works, and was made by a Python of this version."""
    code = f"import sys; print(sys.prefix != sys.base_prefix and sys.version_info[:2] == {sys.version_info[:2]})"
    try:
        answer = subprocess.run([python_of_venv(), "-c", code], capture_output=True, text=True, check=False)
    except OSError:
        return False
    return answer.stdout.strip() == "True"


def check_pip() -> None:
    """End where pip is missing, or too old to install into another environment."""
    answer = subprocess.run([BASE, "-m", "pip", "--version"], capture_output=True, text=True, check=False)
    version = re.search(r"pip (\d+)\.(\d+)", answer.stdout)
    if not version:
        fail(f"{BASE} has no pip: install pip (apt-get install python3-pip) or uv")
    elif (int(version[1]), int(version[2])) < OLDEST_PIP:
        fail(f"{version[0]} is too old: 22.3 or newer is needed, or uv")


def run(command: "list[str]") -> None:
    """Run an installation step; its output is shown, and its failure ends the process."""
    try:
        code = subprocess.run(command, cwd=ROOT, check=False, stdin=subprocess.DEVNULL).returncode
    except OSError as error:
        fail(f"{command[0]}: {error.strerror}")
    if code:
        fail(f"{' '.join(command[:3])} failed with exit code {code}: its message stands above")


def absolute(argument: str) -> str:
    """A pytest argument that names a file, with its full path: the tests run in the repository's folder."""
    path, found, rest = argument.partition("::")
    return os.path.abspath(path) + found + rest if not argument.startswith("-") and os.path.exists(path) else argument


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        """End with exit code 2."""
        self.exit(2, f"{self.prog}: {message} (see --help)\n")


def main() -> int:
    """Run a command.

    Returns:
        Its exit code.
    """
    if sys.version_info < OLDEST_PYTHON:
        fail(f"Python 3.11 or newer is needed, and this is {sys.version.split()[0]} ({sys.executable})")
    parser = Parser(description="Serve the demo, or run all tests.", epilog="More: dev.py demo --help")
    parser.add_argument("command", choices=("demo", "test"))
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="for the demo, or for pytest")
    options = parser.parse_args()
    if not os.access(ROOT, os.W_OK):
        fail(f"{ROOT} cannot be written: clone the repository into a folder of yours")
    if options.command == "demo":
        with_servers = any(argument.startswith("--database") for argument in options.arguments)
        make_environment({"run", "postgresql", "mariadb"} if with_servers else {"run"})
        command = [python_of_venv(), "-m", "verify.demo", *options.arguments]
    else:
        make_environment({"test"})
        settings = ["-c", os.path.join(ROOT, "pyproject.toml"), "--rootdir", ROOT]  # also for a page elsewhere
        command = [python_of_venv(), "-m", "pytest", *settings, *map(absolute, options.arguments)]
        os.chdir(ROOT)
    sys.stdout.flush()
    os.execv(command[0], command)  # noqa: S606


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
