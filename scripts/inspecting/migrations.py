"""Alembic: where it is set up, what env.py does, the revisions and their heads."""

from __future__ import annotations

import re
from dataclasses import dataclass

from project_source.migrations import Environment, environments, revisions
from project_source.project import Project

_METADATA = re.compile(r"target_metadata[\"']?(?:\s*:[^=\n{]+)?\s*[:=]\s*(?!None\b|target_metadata\b|config\b)\w")
_ASYNC = re.compile(r"create_async_engine|async_engine_from_config|\.run_sync\(")


@dataclass(frozen=True)
class Migrations:
    """One Alembic environment.

    Attributes:
        config: alembic.ini, or pyproject.toml; "" where neither names the folder.
        folder: The script location, relative to the project.
        is_async: Whether env.py uses an async engine.
        has_metadata: Whether env.py gives a target_metadata that is not None.
        imports_sqlmodel: Whether migrations get `import sqlmodel`, by script.py.mako or by render_item of env.py.
        heads: Revisions that no other one follows.
        missing: Revisions that are named as down_revision and do not exist.
    """

    config: str
    folder: str
    is_async: bool
    has_metadata: bool
    imports_sqlmodel: bool
    revisions: int
    heads: tuple[str, ...]
    missing: tuple[str, ...]


def look(project: Project) -> list[Migrations]:
    """Describe the environments of a project."""
    return [_describe(one, project) for one in environments(project)]


def _describe(one: Environment, project: Project) -> Migrations:
    env = one.env.source.decode("utf-8", errors="replace")
    template = (project.tree.text(one.template) or "") if one.template else ""
    prefix = f"{one.folder}/" if one.folder else ""
    own = [each for each in revisions(project) if each.module.path.startswith(prefix)]
    known = {each.id for each in own}
    followed = {below for each in own for below in each.down}
    return Migrations(
        config=one.ini or "",
        folder=one.folder or ".",
        is_async=_ASYNC.search(env) is not None,
        has_metadata=_METADATA.search(env) is not None,
        imports_sqlmodel="sqlmodel" in template or ("sqlmodel" in env and "render_item" in env),
        revisions=len(own),
        heads=tuple(sorted(known - followed)),
        missing=tuple(sorted(followed - known)),
    )
