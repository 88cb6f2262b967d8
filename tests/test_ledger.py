"""The ledger is complete and true: every feature and every pain leads to a block that runs, or says why not."""

from __future__ import annotations

import dataclasses
import re
import shutil
from pathlib import Path

import pytest

from verify import cards, ledger
from verify.ledger import Entry
from verify.pages import PageError

ROOT = Path(__file__).parents[1]
KNOWN = ledger.known(ROOT)
PAINS = ledger.read(ROOT, "pains")
FEATURES = ledger.read(ROOT, "features")
MESSAGE_WORDS, CAUSE_WORDS = 14, 17  # of a symptom, of a cause: a row of a table, not an essay


def test_every_pain_stands_in_the_ledger() -> None:
    assert len(KNOWN["pains"]) > 160
    assert sorted(PAINS) == sorted(KNOWN["pains"])


def test_every_feature_stands_in_the_ledger_with_all_its_parts() -> None:
    assert len(KNOWN["features"]) > 60
    assert {re.sub(r"[a-z]+$", "", name) for name in FEATURES} == set(KNOWN["features"])
    for name, text in KNOWN["features"].items():
        parts = " ".join(entry.what for key, entry in FEATURES.items() if re.sub(r"[a-z]+$", "", key) == name)
        missing = significant(text) - significant(parts)
        assert not missing, f"{name}: no part says {sorted(missing)}"


def significant(text: str) -> set[str]:
    return {word for word in re.findall(r"[a-z][a-z0-9_+]{3,}", text.lower()) if word not in {"with", "from", "plus"}}


@pytest.mark.parametrize("entry", PAINS.values(), ids=PAINS)
def test_a_pain_leads_to_a_block_that_runs(entry: Entry) -> None:
    ledger.check(entry, ROOT)
    assert entry.instead or (entry.cause and (entry.message or entry.symptom)), f"{entry.name} says too little"
    assert len(entry.cause.split()) <= CAUSE_WORDS, f"{entry.name}: the cause is one short line"
    assert len(entry.symptom.split()) <= MESSAGE_WORDS, f"{entry.name}: the symptom is one short line"


@pytest.mark.parametrize("entry", FEATURES.values(), ids=FEATURES)
def test_a_feature_leads_to_a_block_that_runs(entry: Entry) -> None:
    ledger.check(entry, ROOT)


def test_what_is_common_or_silent_stands_in_troubleshooting() -> None:
    wanted = ledger.must_be_shown({name: (one[0], one[1]) for name, one in KNOWN["pains"].items()})
    assert len(wanted) > 100
    left = {name for name in wanted if not PAINS[name].section}
    assert all(PAINS[name].instead for name in left)
    page = (ROOT / "references" / "troubleshooting.md").read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if line.startswith("| ")]
    assert len(rows) >= len(wanted) - len(left)


def test_every_rule_has_a_card_that_is_run() -> None:
    found = cards.find(ROOT)
    assert {card.rule for card in found} == set(cards.RULES)
    for card in found:
        assert card.block.kind in {"program", "file"}, (
            f"{card.rule} on {card.page.path.name}:{card.block.line} is not run"
        )
    text = (ROOT / "references" / "anti-patterns.md").read_text(encoding="utf-8")
    assert all(f"\n## {rule}\n" in text for rule in cards.RULES)


GOOD = Entry(
    "X", Path("x.toml"), message="greenlet_spawn", cause="x", section="references/loading.md#fix-missinggreenlet"
)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"section": "references/nowhere.md#x"}, "does not exist"),
        ({"section": "references/loading.md#nowhere"}, "has no section #nowhere"),
        ({"message": "a message that no block shows"}, "no executed block"),
        ({"message": "", "block": "code that is in no block"}, "no executed block"),
        ({"message": ""}, "give message or block"),
        ({"section": "", "instead": "later"}, "instead starts with"),
        ({"section": "", "instead": "dropped: no"}, "instead starts with"),
    ],
)
def test_an_entry_that_leads_nowhere_is_found(change: dict[str, str], reason: str) -> None:
    ledger.check(GOOD, ROOT)
    with pytest.raises(PageError, match=reason):
        ledger.check(dataclasses.replace(GOOD, **change), ROOT)  # type: ignore[arg-type]


TESTED = Entry(
    "X",
    Path("x.toml"),
    asset="scripts/new_service.py",
    test="tests/test_new_service.py::test_json_says_what_was_made",
)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"asset": "assets/service/nowhere"}, "assets/service/nowhere does not exist"),
        ({"asset": "tests/test_ledger.py"}, "does not ship"),
        ({"asset": ""}, "asset and test go together"),
        ({"test": ""}, "asset and test go together"),
        ({"test": "tests/test_nowhere.py::test_x"}, r"tests/test_nowhere\.py is no file of tests"),
        ({"test": "scripts/new_service.py::main"}, "is no file of tests"),
        ({"test": "tests/test_new_service.py::test_nothing"}, "has no test 'test_nothing'"),
        ({"test": "tests/test_new_service.py"}, "has no test ''"),
        ({"section": "references/loading.md#fix-missinggreenlet"}, "not both"),
    ],
)
def test_an_asset_that_no_test_exercises_is_found(change: dict[str, str], reason: str) -> None:
    ledger.check(TESTED, ROOT)
    with pytest.raises(PageError, match=reason):
        ledger.check(dataclasses.replace(TESTED, **change), ROOT)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no entries found"),
        ("[A]\nnonsense = 1\n", "unknown nonsense"),
        ("[A]\n[A]\n", "A"),
        ("[MG-LAZY-REL", "Expected"),
    ],
)
def test_a_malformed_ledger_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    folder = tmp_path / ledger.FOLDER / "pains"
    folder.mkdir(parents=True)
    (folder / "a.toml").write_text(text, encoding="utf-8")
    with pytest.raises(PageError, match=reason):
        ledger.read(tmp_path, "pains")


def test_an_id_in_two_files_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / ledger.FOLDER / "pains"
    folder.mkdir(parents=True)
    for name in ("a", "b"):
        (folder / f"{name}.toml").write_text('[A]\ninstead = "dropped: for some reason"\n', encoding="utf-8")
    with pytest.raises(PageError, match=r"A stands in a\.toml, too"):
        ledger.read(tmp_path, "pains")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("❌ ASM031: There is no such rule:", "there is no rule ASM031"),
        ("❌ ASM001: No block follows.", "has no block"),
    ],
)
def test_a_card_that_shows_nothing_is_refused(tmp_path: Path, line: str, reason: str) -> None:
    shutil.copytree(ROOT / "references", tmp_path / "references")
    page = tmp_path / "references" / "loading.md"
    page.write_text(page.read_text(encoding="utf-8") + f"\n## End\n\n{line}\n", encoding="utf-8")
    with pytest.raises(PageError, match=reason):
        cards.find(tmp_path)
