#!/usr/bin/env python3
"""Look up what a careful engineer looks up first in a FastAPI project with a database: versions, engines, sessions, models,
migrations, tests, what is missing, and what to read next.

It parses files and imports none. Passwords in URLs are shown as ***. Standard library only.
Exit codes: 0 looked at, 1 there is no Python project, 2 a wrong call.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))  # python3 -I does not

from inspecting import advice, code, databases, migrations, output, packages, testing
from inspecting.output import Inspection
from project_source.command import Parser, run
from project_source.files import is_test, walk
from project_source.project import Project

NOTHING = 1
SCHEMA = Path(__file__).resolve().parent / "inspecting" / "schema.json"
RELEVANT = re.compile(
    rb"sqlmodel|sqlalchemy|fastapi|alembic|pydantic|APIRouter|Depends|AsyncSession|table\s*=\s*True|down_revision"
    rb"|^from [.\w]+ import \*|^from [.\w]*(?:models?|db|database|session|deps|dependencies|base|engine)\b",
    re.MULTILINE,
)


def inspect(root: Path) -> Inspection:
    """Look at a project.

    Raises:
        OSError: The folder cannot be listed.
    """
    tree = walk(root)
    project = Project(tree, lambda path, source: not is_test(path) and RELEVANT.search(source) is not None)
    known = packages.look(project)
    urls = databases.look(tree)
    found = code.look(project)
    environments = migrations.look(project)
    tests = testing.look(tree, set(known.packages))
    return Inspection(
        root=str(root),
        python_files=sum(1 for path in tree.files if path.endswith(".py")),
        unread=tree.unread,
        packages=known,
        databases=urls,
        code=found,
        migrations=environments,
        testing=tests,
        missing=advice.missing(known, urls, found, environments, tests),
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Returns:
        0, 1 or 2, as the module says.
    """
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "path", nargs="?", type=Path, default=Path(), metavar="PATH", help="folder of the project; this one by default"
    )
    parser.add_argument("--verbose", action="store_true", help="a line for each model, schema and place")
    parser.add_argument("--json", action="store_true", help="everything, as the schema of --schema says")
    parser.add_argument("--schema", action="store_true", help="print the JSON Schema of --json, and end")
    options = parser.parse_args(arguments)
    if options.schema:
        print(SCHEMA.read_text(encoding="utf-8"), end="")
        return 0
    root: Path = options.path
    if not root.is_dir():
        parser.error(f"{root} is not a folder: name the folder of the project")
    try:
        found = inspect(root.resolve())
    except OSError as error:
        parser.error(f"{error.filename or root}: {error.strerror or error}")
    if options.json:
        print(json.dumps(output.as_data(found), indent=1))
    else:
        print(output.text(found, verbose=options.verbose), end="")
    return 0 if found.python_files else NOTHING


if __name__ == "__main__":
    run(main)
