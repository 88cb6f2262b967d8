"""The repairs of single rules: what they write, and that a second run has nothing to repair."""

from __future__ import annotations

import ast
from pathlib import Path

import audit_cases
import pytest
from audit_cases import Case
from test_audit_rules import ALL

from auditing.finding import Finding
from auditing.repair import repaired
from auditing.run import Selection, audit
from project_source.files import walk
from project_source.project import Project

HEAD = """from typing import Optional
from sqlmodel import Field, Relationship, SQLModel, func, select
from sqlmodel.ext.asyncio.session import AsyncSession

class Hero(SQLModel, table=True):
    id: int | None = Field(default=None, primary_key=True)

async def use(session: AsyncSession, flag: bool):
"""
WRITTEN = {  # before and after, behind HEAD
    "at once": (
        "    return (await session.execute(select(Hero))).scalars().all()\n",
        "    return (await session.exec(select(Hero))).all()\n",
    ),
    "a statement with a name": (
        "    s = select(Hero).where(Hero.id == 1).limit(2)\n    return (await session.execute(s)).scalars().first()\n",
        "    s = select(Hero).where(Hero.id == 1).limit(2)\n    return (await session.exec(s)).first()\n",
    ),
    "scalar_one_or_none": (
        "    return (await session.execute(select(Hero))).scalar_one_or_none()\n",
        "    return (await session.exec(select(Hero))).one_or_none()\n",
    ),
    "a result with a name": (
        "    r = await session.execute(select(Hero))\n    for hero in r.scalars():\n        print(hero)\n",
        "    r = await session.exec(select(Hero))\n    for hero in r:\n        print(hero)\n",
    ),
    "unique between": (
        "    return (await session.execute(select(Hero))).unique().scalars().all()\n",
        "    return (await session.execute(select(Hero))).unique().scalars().all()\n",
    ),
    "a name that is used again": (
        "    r = await session.execute(select(Hero))\n    a = r.scalars().all()\n"
        "    r = await session.execute(select(Hero.id, Hero.id))\n    return a, r.all()\n",
        "    r = await session.exec(select(Hero))\n    a = r.all()\n"
        "    r = await session.execute(select(Hero.id, Hero.id))\n    return a, r.all()\n",
    ),
    "a name with a value in each branch": (
        "    if flag:\n        r = await session.execute(select(Hero))\n    else:\n"
        "        r = await session.execute(select(Hero.id, Hero.id))\n    return r.scalars().all()\n",
        None,
    ),
    "lines of their own": (
        "    return (\n        (await session.execute(select(Hero)))\n        .scalars()\n        .all()\n    )\n",
        "    return (\n        (await session.exec(select(Hero)))\n        .all()\n    )\n",
    ),
    "rows are wanted": ("    return (await session.execute(select(Hero))).all()\n", None),
    "the result is handed on": ("    r = await session.execute(select(Hero))\n    return r\n", None),
    "two columns": ("    return (await session.execute(select(Hero.id, func.now()))).scalars().all()\n", None),
    "parameters by position": ("    return (await session.execute(select(Hero), {})).scalars().all()\n", None),
    "the statement is not visible": ("    return (await session.execute(flag)).scalars().all()\n", None),
    "scalars of the session": (
        "    return (await session.scalars(select(Hero))).all()\n",
        "    return (await session.exec(select(Hero))).all()\n",
    ),
}
ANNOTATIONS = {
    '"Team | None"': 'Optional["Team"]',
    '"None | Team"': 'Optional["Team"]',
    '"Optional[Team]"': 'Optional["Team"]',
    '"list[Team]"': 'list["Team"]',
    '"List[Team]"': 'list["Team"]',
    'Optional["Team | None"]': 'Optional["Team"]',
    '"Team" | None': 'Optional["Team"]',
    '"dict[str, Team]"': None,
    'set["Team"]': None,
}


def mend(folder: Path, rule: str) -> tuple[dict[str, str], list[Finding]]:
    """Repair the findings of a rule, and write the files."""
    project = Project(walk(folder))
    found = audit(project, Selection(frozenset({rule}), possible=True))
    texts: dict[str, str] = {}
    done: list[Finding] = []
    for path, module in project.modules.items():
        new, mended = repaired(module, [one for one in found if one.path == path])
        ast.parse(new)
        (folder / path).write_bytes(new)
        texts[path] = new.decode()
        done += mended
    return texts, done


@pytest.mark.parametrize("name", WRITTEN)
def test_execute_becomes_exec_where_that_is_safe(name: str, tmp_path: Path) -> None:
    before, after = WRITTEN[name]
    (tmp_path / "main.py").write_text(HEAD + before)
    texts, _ = mend(tmp_path, "ASM026")
    assert texts["main.py"].removeprefix(HEAD) == (before if after is None else after)


@pytest.mark.parametrize("annotation", ANNOTATIONS)
def test_only_the_class_of_a_relationship_is_quoted(annotation: str, tmp_path: Path) -> None:
    model = "from sqlmodel import Field, Relationship, SQLModel\n\n\nclass Hero(SQLModel, table=True):\n    team: %s = Relationship()\n"
    (tmp_path / "main.py").write_text(model % annotation)
    text = mend(tmp_path, "ASM014")[0]["main.py"]
    wanted = ANNOTATIONS[annotation]
    assert f"team: {wanted or annotation} = Relationship()" in text
    needs = wanted is not None and wanted.startswith("Optional") and not annotation.startswith("Optional")
    assert text.count("from typing import Optional\n") == (1 if needs else 0)


def test_every_repair_of_the_cases_parses_and_is_final(tmp_path: Path) -> None:
    mended: dict[str, int] = {}
    for number, (rule, case) in enumerate(ALL):
        folder = tmp_path / str(number)
        case.write(folder)
        before = {one for one in audit_cases.findings(folder, rule) if one.edits}
        if before:
            _, done = mend(folder, rule)
            assert set(done) == before, case.title
            assert not [one for one in audit_cases.findings(folder, rule) if one.edits], case.title
            mended[rule] = mended.get(rule, 0) + len(done)
    assert {"ASM013", "ASM014", "ASM026"} <= set(mended)


def test_a_case_without_a_repair_is_left_as_it_is(tmp_path: Path) -> None:
    case = Case(
        "a set",
        {
            "main.py": "from sqlmodel import Relationship, SQLModel\nclass A(SQLModel, table=True):\n    b: set['B'] = Relationship()\n"
        },
    )
    case.write(tmp_path)
    texts, done = mend(tmp_path, "ASM014")
    assert (texts["main.py"], done) == (case.files["main.py"], [])
