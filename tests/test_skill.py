"""SKILL.md and INDEX.md as an agent uses them: occasions, workflows, decisions, traps, check-list."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from verify import index

ROOT = Path(__file__).parents[1]
SKILL = (ROOT / "SKILL.md").read_text(encoding="utf-8")
INDEX = (ROOT / "INDEX.md").read_text(encoding="utf-8")


def section(title: str, text: str = SKILL) -> str:
    found = text.partition(f"\n## {title}\n")[2].partition("\n## ")[0].strip()
    assert found, f"no section {title!r}"
    return found


def rows(title: str, text: str = SKILL) -> list[list[str]]:
    """The cells of the table of a section, without its head."""
    lines = [line for line in section(title, text).splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines[2:]]


def test_every_page_stands_behind_an_occasion() -> None:
    tables = "\n".join(line for line in SKILL.splitlines() if line.startswith(("|", "- ")))
    linked = set(re.findall(r"\]\(references/([\w-]+\.md)", tables))
    assert linked == {path.name for path in (ROOT / "references").glob("*.md")}
    for line in section("Read this when").splitlines():
        assert re.match(r"- [A-Z].*\]\(", line), f"an occasion, then its page: {line}"


def test_each_workflow_has_steps_and_a_proof() -> None:
    workflows = rows("Workflows")
    assert [row[0] for row in workflows] == ["Set up", "Model", "Service layer", "Eager loading", "Migrate", "FastAPI"]
    for task, steps, proof in workflows:
        assert "](references/" in steps, f"{task}: no page"
        assert proof, f"{task}: nothing proves it"


def test_it_asks_little_and_decides_the_rest() -> None:
    assert "without asking" in section("Before you write")
    decisions = rows("Decisions")
    assert len(decisions) == 3
    assert all(len(row) == 4 and row[1] and row[2] and row[3] for row in decisions), "default, reason, way out"


def test_a_trap_is_one_line_with_its_cure() -> None:
    traps = rows("Traps")
    assert len(traps) >= 12
    assert all(len(row) == 3 and all(row) for row in traps)


def test_the_checklist_names_what_can_be_run() -> None:
    items = section("Before you deliver").splitlines()
    assert len(items) >= 6
    assert all(item.startswith("- ") for item in items)


def test_it_says_what_it_is_not_for_and_for_which_versions() -> None:
    assert "Not for: " in SKILL
    compatibility = re.search(r'^compatibility: "(.+)"$', SKILL, re.MULTILINE)
    assert compatibility
    floors = dict(re.findall(r"(\w+) >= ([\d.]+)", compatibility[1]))
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert f'requires-python = ">={floors.pop("Python")}"' in project
    assert set(floors) == {"sqlmodel", "sqlalchemy", "fastapi"}
    for name, floor in floors.items():
        assert re.search(rf'"{name}(\[\w+\])?>={re.escape(floor)}"', project), (
            f"{name} >= {floor} is not the project's floor"
        )


def commands() -> list[str]:
    return sorted(set(re.findall(r"`(?:python3 scripts/)?((?:new_service|inspect_project|audit)\.py[^`]*)`", SKILL)))


def test_the_commands_are_found() -> None:
    assert len(commands()) >= 4


@pytest.mark.parametrize("command", commands())
def test_a_command_that_it_names_is_understood(command: str, tmp_path: Path) -> None:
    script, _, rest = command.partition(" ")
    service = tmp_path / "service"
    if "--entity" in command or "new_service" not in script:
        subprocess.run(
            [sys.executable, "-I", ROOT / "scripts" / "new_service.py", service], check=True, capture_output=True
        )
    arguments = [str(service) if one in {"DEST", "PATH"} else one for one in shlex.split(rest)]
    done = subprocess.run(
        [sys.executable, "-I", ROOT / "scripts" / script, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_index_leads_by_path_scenario_task_message_and_database() -> None:
    for title in ("By task", "By learning path", "By scenario", "Readiness", "By error message", "By database"):
        assert section(title, INDEX)
    paths = section("By learning path", INDEX).splitlines()
    assert [line.removeprefix("- ").partition(":")[0] for line in paths] == list(index.PATHS)
    assert len(index.PATHS) == 3
    assert len(index.SCENARIOS) >= 3
    assert len(section("Readiness", INDEX).splitlines()) >= 13
