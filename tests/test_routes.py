"""Every way to install the skill that the README names, by its own command: what arrives is whole, and works there."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from verify import agents, links, package, release, sync
from verify.databases import Unavailable
from verify.pages import PageError
from verify.plugin import Suite
from verify.project import Project

ROOT = Path(__file__).parents[1]
CLIENTS = ROOT / "tests" / "routes" / "package.json"
PYTHON = [getattr(sys, "_base_executable", sys.executable), "-I", "-S"]  # as bare as python3 can be
NODE = (22, 20)  # the oldest that `npx skills` takes
CALLS: dict[
    str, tuple[tuple[str, ...], str]
] = {  # in this order: a real call of each script that ships, and what it says
    "new_service.py": (("made",), "Made made in made."),
    "audit.py": (("made",), "no findings in "),  # the service that was just made
    "inspect_project.py": (("made",), "SQLModel's AsyncSession, dependency get_session"),
}


# ---- the clients, and a home for them --------------------------------------------------------


@pytest.fixture(scope="module")
def clients(suite: Suite) -> Path:
    """The folder with the npm packages, installed once."""
    folder = ROOT / "build" / "routes"
    folder.parent.mkdir(exist_ok=True)
    with open(folder.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # of several pytest processes one installs
        installed = folder / CLIENTS.name
        if not installed.exists() or installed.read_bytes() != CLIENTS.read_bytes():
            install_clients(suite, folder)
    return folder


def install_clients(suite: Suite, folder: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        suite.miss("the clients of the routes", Unavailable("npm is not on PATH", "install it (apt-get install npm)"))
    new = folder.with_suffix(".new")
    for old in (new, folder):
        shutil.rmtree(old, ignore_errors=True)
    new.mkdir()
    shutil.copy(CLIENTS, new)
    quiet = ["--ignore-scripts", "--no-package-lock", "--no-audit", "--no-fund", "--loglevel=error"]
    done = subprocess.run([npm, "install", *quiet], cwd=new, capture_output=True, text=True, check=False)
    if done.returncode:
        said = " ".join(done.stderr.split())[:300]
        suite.miss("the clients of the routes", Unavailable(f"npm install: {said}", "npm needs its registry once"))
    new.rename(folder)


@dataclass(frozen=True)
class Machine:
    """A user's machine: a home, a project to work in, and programs on PATH.

    Attributes:
        github: Where the repositories of GitHub are on this machine.
    """

    home: Path
    project: Path
    github: Path
    programs: Path

    @classmethod
    def make(cls, folder: Path) -> Machine:
        machine = cls(*(folder / name for name in ("home", "project", "github", "programs")))
        for path in (machine.home, machine.project, machine.github, machine.programs):
            path.mkdir()
        elsewhere = "".join(f"insteadOf = {url}\n" for url in ("https://github.com/", "git@github.com:"))
        (machine.home / ".gitconfig").write_text(f'[url "file://{machine.github}/"]\n{elsewhere}')
        return machine

    def provide(self, name: str, program: str | Path) -> None:
        """Put a program on PATH."""
        (self.programs / name).symlink_to(program)

    def run(self, command: str | Sequence[str]) -> str:
        """Run a shell command, or a program; returns its output, and fails with it where it fails."""
        done = subprocess.run(
            ["bash", "-c", command] if isinstance(command, str) else command,
            cwd=self.project,
            env={
                "PATH": f"{self.programs}:/usr/local/bin:/usr/bin:/bin",
                "HOME": str(self.home),
                "CLAUDE_CONFIG_DIR": str(self.home / ".claude"),
                "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
                "DISABLE_TELEMETRY": "1",
                "GIT_ALLOW_PROTOCOL": "file",
                "GIT_CONFIG_NOSYSTEM": "1",
                "npm_config_offline": "true",
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        return done.stdout


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine.make(tmp_path)


@pytest.fixture
def github(machine: Machine, published: Path) -> Machine:
    """A machine that reaches the published repository."""
    (machine.github / "OWNER").mkdir()
    shutil.copytree(published, machine.github / "OWNER" / "async-sqlmodel")
    shutil.copytree(published / ".git", machine.github / "OWNER" / "async-sqlmodel.git")
    return machine


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository whose branch `skill` was made by a release; `dist/` in it is what was built."""
    root = tmp_path_factory.mktemp("published") / "async-sqlmodel"
    package.lay_out(ROOT, root)
    for name in ("pyproject.toml", package.ICON, "tests/test_routes.py", "scripts/verify/links.py", "mkdocs.yml"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, root / name)
    (root / ".gitignore").write_text("dist/\n")
    for command in (
        ["init", "-q", "-b", "main"],
        ["config", "user.name", "us"],
        ["config", "user.email", "us@example.org"],
    ):
        subprocess.run(["git", *command], cwd=root, check=True)
    publish(root)
    return root


def publish(root: Path) -> None:
    """Release what stands in the repository."""
    version = package.build(root, root / "dist").version
    release.record(root, version, package.digest(root))
    for command in (["add", "--all"], ["commit", "-q", "-m", version]):
        subprocess.run(["git", *command], cwd=root, check=True)
    release.commit(root, root / "dist" / "plugin", "skill", version)


# ---- what must be true wherever the skill arrives ------------------------------------------------


def assert_installed(skill: Path, work: Path) -> None:
    """The files are those that ship, their links lead somewhere, and each script does its work."""
    skill = skill.resolve()
    arrived = {path.relative_to(skill).as_posix() for path in skill.rglob("*") if path.is_file()}
    assert {name for name in arrived if "__pycache__" not in name} == set(package.shipped(ROOT))  # pip compiles
    assert links.check(sync.shipped_pages(skill), within=skill) > 50
    scripts = sorted(path.name for path in (skill / "scripts").glob("*.py"))
    assert scripts == sorted(name for name in package.SCRIPTS if name.endswith(".py"))
    for name in sorted(scripts, key=list(CALLS).index):
        script = str(skill / "scripts" / name)
        assert (
            "usage:" in subprocess.run([*PYTHON, script, "--help"], capture_output=True, text=True, check=True).stdout
        )
        arguments, said = CALLS[name]
        done = subprocess.run([*PYTHON, script, *arguments], cwd=work, capture_output=True, text=True, check=False)
        assert said in done.stdout, done.stderr
    assert (work / "made" / "app" / "main.py").is_file()
    assert not list((work / "made").rglob("__pycache__"))


def readme_command(program: str) -> str:
    """The command of the README that starts with this program."""
    section = (ROOT / "README.md").read_text(encoding="utf-8").partition("\n## Use it\n")[2].partition("\n## ")[0]
    (command,) = re.findall(rf"(?m)^- .*?: `({program} .*)`$", section)
    return str(command).replace("VERSION", Project.read(ROOT).version)


def node_of(clients: Path, suite: Suite) -> Path:
    """A Node that is new enough: the one from npm, or the machine's."""
    for node in clients.glob("node_modules/node-*/bin/node"):
        return node
    own = shutil.which("node")
    said = subprocess.run([own, "--version"], capture_output=True, text=True, check=True).stdout if own else ""
    if own is None or tuple(map(int, re.findall(r"\d+", said)[:2])) < NODE:
        suite.miss("npx skills", Unavailable(f"Node {said.strip() or 'is missing'}", "Node 22.20 or newer is needed"))
    return Path(own)


# ---- the routes ----------------------------------------------------------------------------------


def test_the_readme_names_four_routes() -> None:
    for program in ("git", "claude", "npx", "pip"):
        assert "async" in readme_command(program)


def test_a_plain_copy(github: Machine) -> None:
    github.run(readme_command("git"))
    assert_installed(github.home / ".claude" / "skills" / "async-sqlmodel", github.project)


def test_the_zip_of_a_release(machine: Machine, published: Path) -> None:
    (archive,) = (published / "dist").glob("*.zip")
    machine.run([sys.executable, "-m", "zipfile", "-e", str(archive), str(machine.home / ".claude" / "skills")])
    assert_installed(machine.home / ".claude" / "skills" / "async-sqlmodel", machine.project)


@pytest.fixture
def claude(github: Machine, clients: Path) -> Machine:
    """A machine with Claude Code, where nobody is logged in."""
    (program,) = clients.glob("node_modules/@anthropic-ai/claude-code-*/claude")
    github.provide("claude", program)
    return github


def installed_plugin(machine: Machine) -> dict[str, Any]:
    (plugin,) = (
        one
        for one in json.loads(machine.run(["claude", "plugin", "list", "--json"]))
        if one["id"] == "async-sqlmodel@async-sqlmodel"
    )
    return dict(plugin)


def test_claude_code_finds_nothing_wrong_with_the_plugin(claude: Machine, published: Path) -> None:
    plugin = published / "dist" / "plugin"
    said = claude.run(["claude", "plugin", "validate", "--strict", "--profile", "directory", str(plugin)])
    assert "skills: async-sqlmodel:async-sqlmodel" in said
    assert "Validation passed" in said
    broken = claude.project / "broken"
    shutil.copytree(plugin, broken)
    (broken / "LICENSE").unlink()
    manifest = broken / ".claude-plugin" / "plugin.json"
    manifest.write_text(manifest.read_text().replace('"license"', '"licence"'))
    with pytest.raises(AssertionError, match="Validation failed"):
        claude.run(["claude", "plugin", "validate", "--strict", str(broken)])


def test_the_plugin_from_the_branch(claude: Machine) -> None:
    claude.run(readme_command("claude"))
    plugin = installed_plugin(claude)
    assert (plugin["version"], plugin["enabled"]) == (Project.read(ROOT).version, True)
    assert_installed(Path(plugin["installPath"]) / "skills" / "async-sqlmodel", claude.project)
    assert "Skills (1)  async-sqlmodel" in claude.run(["claude", "plugin", "details", "async-sqlmodel"])
    beside = {path.name for path in Path(plugin["installPath"]).iterdir() if path.name != ".in_use"}
    assert beside == {".claude-plugin", "skills", "README.md", "LICENSE", "AGENTS.md"}


def test_the_plugin_from_a_marketplace_on_disk(claude: Machine, published: Path) -> None:
    claude.run(["claude", "plugin", "marketplace", "add", str(published / "dist" / "plugin")])
    claude.run(["claude", "plugin", "install", "async-sqlmodel@async-sqlmodel"])
    assert_installed(Path(installed_plugin(claude)["installPath"]) / "skills" / "async-sqlmodel", claude.project)


def test_the_main_branch_is_no_marketplace(claude: Machine) -> None:
    with pytest.raises(AssertionError, match="Marketplace file not found"):
        claude.run(["claude", "plugin", "marketplace", "add", "OWNER/async-sqlmodel"])


def test_a_new_release_reaches_who_has_the_plugin(claude: Machine) -> None:
    claude.run(readme_command("claude"))
    root = claude.github / "OWNER" / "async-sqlmodel"
    version = f"{int(Project.read(ROOT).version.split('.')[0]) + 1}.0.0"
    for name in ("pyproject.toml", "SKILL.md"):
        text = (root / name).read_text()
        (root / name).write_text(re.sub(r'(version(?: =|:)) "[\d.]+"', rf'\1 "{version}"', text, count=1))
    publish(root)
    shutil.rmtree(root.with_suffix(".git"))
    shutil.copytree(root / ".git", root.with_suffix(".git"))
    claude.run(["claude", "plugin", "marketplace", "update", "async-sqlmodel"])
    claude.run(["claude", "plugin", "update", "async-sqlmodel@async-sqlmodel"])
    assert installed_plugin(claude)["version"] == version


def test_npx_skills(github: Machine, clients: Path, suite: Suite) -> None:
    npx = shutil.which("npx")
    assert npx, "npm comes with npx"
    github.provide("npx", npx)
    github.provide("node", node_of(clients, suite))
    (github.project / "node_modules").symlink_to(clients / "node_modules")  # npx takes the client from there
    github.run(readme_command("npx") + " -a claude-code -a codex -y")
    assert_installed(github.project / agents.WHERE, github.project)
    assert (github.project / ".claude" / "skills" / "async-sqlmodel").resolve() == github.project / agents.WHERE


def test_a_wheel(machine: Machine, published: Path) -> None:
    (wheel,) = (published / "dist").glob("*.whl")
    shutil.copy(wheel, machine.project)
    (machine.project / "pyproject.toml").write_text(
        '[project]\nname = "heroes"\nversion = "1"\ndependencies = ["async-sqlmodel-skill"]\n'
    )
    environment = machine.project / ".venv"
    subprocess.run([PYTHON[0], "-m", "venv", "--without-pip", str(environment)], check=True)
    uv, python = shutil.which("uv"), environment / "bin" / "python"
    pip = f'{uv} pip "$@" --python {python}' if uv else f'{PYTHON[0]} -m pip --python {python} "$@"'
    (machine.programs / "pip").write_text(f"#!/bin/sh\nexec {pip} --no-index\n")
    (machine.programs / "pip").chmod(0o755)
    machine.provide("library-skills", Path(sys.executable).parent / "library-skills")
    machine.run(readme_command("pip"))
    for name in (agents.WHERE, ".claude/skills/async-sqlmodel"):
        link = machine.project / name
        assert link.is_symlink()
        assert link.resolve().is_relative_to(environment)
    assert_installed(machine.project / agents.WHERE, machine.project)


# ---- the checks themselves -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text", "error", "message"),
    [
        ("scripts/verify.py", "", AssertionError, r"scripts/verify\.py"),
        ("assets/service/.env.example", None, AssertionError, r"\.env\.example"),
        ("INDEX.md", "# Index\n\n[gone](references/gone.md)\n", PageError, "which does not exist"),
        ("scripts/new_service.py", "import sqlmodel\n", subprocess.CalledProcessError, "--help"),
        ("scripts/new_service.py", "print('usage: none')\n", AssertionError, "Made made"),
    ],
)
def test_a_wrong_installation_is_found(
    published: Path, tmp_path: Path, name: str, text: str | None, error: type[Exception], message: str
) -> None:
    skill = tmp_path / "async-sqlmodel"
    shutil.copytree(published / "dist" / "async-sqlmodel", skill)
    assert_installed(skill, tmp_path)
    shutil.rmtree(tmp_path / "made")
    if text is None:
        (skill / name).unlink()
    else:
        (skill / name).write_text(text)
    with pytest.raises(error, match=message):
        assert_installed(skill, tmp_path)


def test_missing_npm_is_seen(suite: Suite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    wanted = pytest.fail.Exception if suite.config.getoption("--require-all") else pytest.skip.Exception
    with pytest.raises(wanted, match="npm is not on PATH; install it"):
        install_clients(suite, tmp_path / "routes")
    assert os.listdir(tmp_path) == []
