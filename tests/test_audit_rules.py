"""Each rule of the audit: what it must find, and what it must leave alone."""

from __future__ import annotations

from pathlib import Path

import audit_cases
import pytest
from audit_cases import Case

from auditing.catalogue import CHECKS, PROJECT_CHECKS, RULES
from verify import cards

CASES = Path(__file__).parent / "audit" / "cases"
BAD = Path(__file__).parent / "audit" / "bad_service"
PLANTED = 40  # faults of the bad service, at least
EACH = 10  # cases that break a rule, and cases that do not
ALL = [(path.stem, case) for path in sorted(CASES.glob("*.txt")) for case in audit_cases.read(path)]


def test_the_rules_are_those_of_the_cards_and_each_has_a_check() -> None:
    assert tuple(RULES) == cards.RULES
    assert {*CHECKS, *PROJECT_CHECKS} == set(RULES)
    assert all(rule.why.endswith(".") and not rule.title.endswith(".") for rule in RULES.values())


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_has_enough_cases_of_both_kinds(rule: str) -> None:
    own = [case for name, case in ALL if name == rule]
    assert len({case.title for case in own}) == len(own)
    assert sum(1 for case in own if case.marks) >= EACH
    assert sum(1 for case in own if not case.marks) >= EACH


@pytest.mark.parametrize(("rule", "case"), ALL, ids=[f"{rule}: {case.title}" for rule, case in ALL])
def test_a_rule_finds_the_marked_lines_and_no_others(rule: str, case: Case, tmp_path: Path) -> None:
    assert {mark[2] for mark in case.marks} <= {rule}
    case.write(tmp_path)
    found = audit_cases.findings(tmp_path, rule)
    assert audit_cases.places(found) == case.marks
    for one in found:
        assert one.message
        assert one.remedy
        assert not one.message.endswith(".")


def test_the_planted_faults_of_a_bad_service_are_found(tmp_path: Path) -> None:
    files = {
        p.relative_to(BAD).as_posix(): p.read_text()
        for p in sorted(BAD.rglob("*"))
        if p.is_file() and "__pycache__" not in p.parts
    }
    case = Case("a bad service", files)
    case.write(tmp_path)
    assert len(case.marks) >= PLANTED
    assert {rule for _, _, rule in case.marks} == set(RULES)
    found = audit_cases.findings(tmp_path)
    assert sorted(case.marks - audit_cases.places(found)) == []
    sure = audit_cases.places([one for one in found if not one.possible])
    assert sorted(sure - case.marks) == []
    assert len(sure) >= PLANTED, "most of them are found without --possible"


def test_nothing_is_found_in_the_template() -> None:
    found = audit_cases.findings(Path(__file__).parents[1] / "assets" / "service")
    assert [(one.path, one.line, one.rule, one.message) for one in found if not one.possible] == []
