"""What a user installs: picked by an allow-list, laid out for every route, and checked as it is built."""

from __future__ import annotations

import errno
import fnmatch
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import skills_ref
from hatchling.builders.wheel import WheelBuilder

from new_service import LEFT_BEHIND
from verify import agents, links, release, sync
from verify.pages import PageError
from verify.project import PackageError, Project

SKILL = "async-sqlmodel"
DOCUMENTS = ("SKILL.md", "INDEX.md", "LICENSE")
SCRIPTS = (  # what agents run, and the packages that it imports
    "audit.py", "auditing", "inspect_project.py", "inspecting", "new_service.py", "project_source", "service_entity",
)  # fmt: skip
KINDS: Mapping[str, tuple[str, ...]] = {  # by folder; a file of another kind is an error, not a surprise for the user
    "references": ("*.md",),
    "assets": (
        "*.py", "*.md", "*.toml", "*.ini", "*.mako", "*.yml", "*.yaml", ".env.example", ".gitignore", ".dockerignore", "Dockerfile",
    ),
    "scripts": ("*.py", "*.json"),
}  # fmt: skip
STAY = ("dev.py", "verify")  # the rest of scripts/
WHEEL = "async_sqlmodel_skill"
MADE = (SKILL, f"{SKILL}-*.zip", f"{WHEEL}-*.whl", "plugin", "AGENTS.md")  # all that stands in dist/
ICON = ".claude-plugin/icon.png"
_WHEEL_PROJECT = """\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = {name}
version = {version}
description = {description}
license = "MIT"
license-files = ["LICENSE"]
requires-python = ">=3.11"

[tool.hatch.build]
ignore-vcs = true

[tool.hatch.build.targets.wheel]
packages = [{package}]
"""
_README = """\
# {name}

{description}

This branch is the skill as it is installed, version {version}: [the router](skills/{name}/SKILL.md), [the map](skills/{name}/INDEX.md), the guides, a service to copy and the scripts that an agent runs. The sources and the tests that prove them stand on the branch `main`.

In Claude Code, with the account of this repository as OWNER: `/plugin install {name} --marketplace OWNER/{name}@skill`.

[AGENTS.md](AGENTS.md) is an index for projects that want the skill always on: append it to the AGENTS.md of the project.
"""


def shipped(root: Path) -> list[str]:
    """The files that a user installs, relative to the repository.

    Raises:
        PackageError: Something is missing, or a file is of a kind that does not ship.
    """
    places = [*DOCUMENTS, "references", "assets", *(f"scripts/{name}" for name in SCRIPTS)]
    found = [path for place in places for path in _files(root, root / place)]
    return sorted(path.relative_to(root).as_posix() for path in found)


def _files(root: Path, place: Path) -> Iterator[Path]:
    if not place.exists():
        raise PackageError(f"{place.relative_to(root)} does not exist: restore it, or take it out of verify/package.py")
    if place.is_file():
        yield place
        return
    kinds = KINDS[place.relative_to(root).parts[0]]
    for folder, folders, names in os.walk(place):
        folders[:] = sorted(name for name in folders if not _left_behind(name))
        for path in (Path(folder, name) for name in sorted(names) if not _left_behind(name)):
            if path.is_symlink() or not any(fnmatch.fnmatch(path.name, kind) for kind in kinds):
                raise PackageError(
                    f"{path.relative_to(root)} is not of a kind that ships: remove it, or add its kind to KINDS in verify/package.py"
                )
            yield path


def _left_behind(name: str) -> bool:
    return any(fnmatch.fnmatch(name, pattern) for pattern in LEFT_BEHIND)


def build(root: Path, out: Path) -> Project:
    """Build everything that is published, and check it; `out` is replaced as a whole, or left as it was.

    Args:
        root: The repository.
        out: Does not exist, is empty, or was made by this function.

    Returns:
        What was built.

    Raises:
        PackageError: The package would be wrong; the message says in which file.
        FileExistsError: `out` holds something else.
    """
    _refuse_foreign(out)
    project = Project.read(root)
    release.check(root, project.version, digest(root))
    out.parent.mkdir(parents=True, exist_ok=True)
    workshop = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    try:
        new = workshop / "new"
        lay_out(root, new / SKILL)
        check(new / SKILL, project.version)
        (new / "AGENTS.md").write_text(agents.generate(new / SKILL), encoding="utf-8")
        _zip(new / SKILL, new / f"{SKILL}-{project.version}.zip")
        _plugin(root, project, new)
        _wheel(root, project, new, workshop / "wheel")
        _replace(out, new, workshop / "old")
    finally:
        shutil.rmtree(workshop)
    return project


def lay_out(root: Path, folder: Path) -> None:
    """Copy the files that a user installs.

    Args:
        root: The repository.
        folder: Is made.

    Raises:
        PackageError: As `shipped` does.
    """
    for name in shipped(root):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(root / name, target)
        target.chmod(_mode(root / name))


def _mode(path: Path) -> int:
    return 0o755 if path.stat().st_mode & 0o100 else 0o644


def digest(root: Path) -> str:
    """Changes with any name, content or mode of what is shipped."""
    lines = [
        f"{name} {_mode(root / name):o} {hashlib.sha256((root / name).read_bytes()).hexdigest()}\n"
        for name in shipped(root)
    ]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def check(folder: Path, version: str) -> None:
    """Look at an installed skill: format, version, links, and that each script runs with a bare Python.

    Args:
        folder: The skill.
        version: The one that it must have.

    Raises:
        PackageError: Something is wrong.
    """
    if problems := skills_ref.validate(folder):
        raise PackageError(f"SKILL.md: {'; '.join(problems)}")
    said = skills_ref.read_properties(folder).metadata.get("version")
    if said != version:
        raise PackageError(f"SKILL.md says version {said}, pyproject.toml says {version}: make them equal")
    _check_links(sync.shipped_pages(folder), folder)
    for script in sorted((folder / "scripts").glob("*.py")):
        bare = [getattr(sys, "_base_executable", sys.executable), "-I", "-S", "-B"]
        done = subprocess.run([*bare, str(script), "--help"], capture_output=True, text=True, check=False)
        if done.returncode:
            last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
            raise PackageError(f"scripts/{script.name} --help fails with a bare `python3 -I`: {last}")


def _check_links(documents: list[Path], folder: Path) -> None:
    try:
        links.check(documents, within=folder)
    except PageError as error:
        raise PackageError(f"{error.path.relative_to(folder)}:{error.line}: {error.reason}") from None


def _contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _zip(folder: Path, target: Path) -> None:
    """Zip a folder; equal content gives equal bytes."""
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in sorted(_contents(folder).items()):
            entry = zipfile.ZipInfo(f"{folder.name}/{name}")  # its time is 1980-01-01
            entry.external_attr = (0o100000 | _mode(folder / name)) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, content)


def _plugin(root: Path, project: Project, new: Path) -> None:
    """The layout of a Claude Code plugin that is its own marketplace: what the branch `skill` holds."""
    plugin = new / "plugin"
    shutil.copytree(new / SKILL, plugin / "skills" / SKILL)
    about = {"name": SKILL, "version": project.version, "description": project.description}
    manifests = {
        "plugin": {
            **about,
            "author": {"name": project.author},
            "license": "MIT",
            "keywords": list(project.keywords),
            "icon": f"./{ICON}",
        },
        "marketplace": {
            "name": SKILL,
            "description": project.description,
            "owner": {"name": project.author},
            "plugins": [{**about, "source": "./"}],
        },
    }
    (plugin / ".claude-plugin").mkdir()
    for name, manifest in manifests.items():
        text = json.dumps(manifest, indent=2) + "\n"
        (plugin / ".claude-plugin" / f"{name}.json").write_text(text, encoding="utf-8")
    (plugin / "README.md").write_text(_README.format(name=SKILL, **vars(project)), encoding="utf-8")
    for source in (root / ICON, root / "LICENSE", new / "AGENTS.md"):
        shutil.copyfile(source, plugin / (ICON if source.name == Path(ICON).name else source.name))
    _check_links([plugin / "README.md"], plugin)


def _wheel(root: Path, project: Project, new: Path, workshop: Path) -> None:
    """A wheel that carries the skill where `library-skills` looks for it."""
    inside = f"{WHEEL}/.agents/skills/{SKILL}"
    shutil.copytree(new / SKILL, workshop / inside)
    (workshop / WHEEL / "__init__.py").write_text(f'"""The skill {SKILL}, in .agents/skills."""\n', encoding="utf-8")
    shutil.copyfile(root / "LICENSE", workshop / "LICENSE")
    settings = {
        "name": WHEEL.replace("_", "-"),
        "version": project.version,
        "description": project.description,
        "package": WHEEL,
    }
    text = _WHEEL_PROJECT.format(**{key: json.dumps(value) for key, value in settings.items()})
    (workshop / "pyproject.toml").write_text(text, encoding="utf-8")
    (wheel,) = WheelBuilder(str(workshop)).build(directory=str(new), versions=["standard"])
    with zipfile.ZipFile(wheel) as archive:
        carried = {name.removeprefix(f"{inside}/") for name in archive.namelist() if name.startswith(inside)}
    if different := carried ^ set(_contents(new / SKILL)):
        raise PackageError(f"the wheel and the skill differ in {sorted(different)[0]}")


def _refuse_foreign(out: Path) -> None:
    entries = sorted(path.name for path in out.iterdir()) if out.exists() else []
    for name in entries:
        if not any(fnmatch.fnmatch(name, pattern) for pattern in MADE):
            raise FileExistsError(
                errno.EEXIST, f"holds {name}, which this command did not make; name another folder", str(out)
            )


def _replace(out: Path, new: Path, old: Path) -> None:
    if out.exists():
        out.rename(old)
    try:
        new.rename(out)
    except OSError:
        if old.exists():
            old.rename(out)
        raise
