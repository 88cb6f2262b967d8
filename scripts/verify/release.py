"""Releases: the version rises when what is shipped changes, and the branch `skill` holds the plugin."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from pathlib import Path

from verify.project import PackageError, numbers

RECORD = ".claude-plugin/released.json"


def recorded(root: Path) -> tuple[str, str] | None:
    """Version and digest of the last release; None where nothing was released yet."""
    if not (root / RECORD).exists():
        return None
    said = json.loads((root / RECORD).read_text(encoding="utf-8"))
    return said["version"], said["digest"]


def check(root: Path, version: str, digest: str) -> None:
    """Compare with the last release: equal content, or a higher version.

    Args:
        root: The repository.
        version: The present one.
        digest: Of what is shipped at present.

    Raises:
        PackageError: Content changed and the version did not, or the version went back.
    """
    now = numbers(version)
    last = recorded(root)
    if last is None or now > numbers(last[0]):
        return
    if now < numbers(last[0]):
        raise PackageError(f"version {version} is lower than {last[0]}, which was released: raise it in pyproject.toml")
    if digest != last[1]:
        raise PackageError(
            f"what is shipped changed since {version} was released: raise the version in pyproject.toml and SKILL.md"
        )


def record(root: Path, version: str, digest: str) -> None:
    """Note that a version is released with this content; `check` holds it to that from now on."""
    check(root, version, digest)
    (root / RECORD).parent.mkdir(exist_ok=True)
    (root / RECORD).write_text(json.dumps({"version": version, "digest": digest}, indent=2) + "\n", encoding="utf-8")


def commit(root: Path, plugin: Path, branch: str, version: str) -> str:
    """Make the built plugin the newest commit of a branch; no work tree is touched.

    Args:
        root: The repository.
        plugin: The folder that becomes the whole content of the branch.
        branch: Its name; it is made where it does not exist.
        version: For the message.

    Returns:
        The commit at the tip; the old one where nothing changed.

    Raises:
        PackageError: The version was not recorded as released, the branch holds something else, or git fails.
    """
    last = recorded(root)
    if last is None or last[0] != version:
        raise PackageError(f"{version} is not released: run `python -m verify package --release`, and commit {RECORD}")
    git_dir = _git(root, "rev-parse", "--absolute-git-dir")
    ref = f"refs/heads/{branch}"
    parent = _git(root, "for-each-ref", "--format=%(objectname)", ref)
    if parent and not _git(root, "ls-tree", "--name-only", parent, ".claude-plugin/plugin.json"):
        raise PackageError(f"the branch {branch} exists and holds no plugin: name another one")
    with tempfile.TemporaryDirectory() as folder:
        index = {"GIT_DIR": git_dir, "GIT_WORK_TREE": str(plugin), "GIT_INDEX_FILE": str(Path(folder, "index"))}
        _git(plugin, "add", "--all", "--force", ".", **index)
        tree = _git(plugin, "write-tree", **index)
    if parent and tree == _git(root, "rev-parse", f"{parent}^{{tree}}"):
        return parent
    new = _git(root, "commit-tree", tree, *(["-p", parent] if parent else []), "-m", f"async-sqlmodel {version}")
    _git(root, "update-ref", ref, new, parent)
    return new


def _git(folder: Path, *arguments: str, **environment: str) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise PackageError(f"git {arguments[0]}: {' '.join(done.stderr.split()) or done.returncode}")
    return done.stdout.strip()
