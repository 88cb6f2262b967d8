"""The cards of the audit rules: a ❌ paragraph that starts with the id of a rule, in the page of its topic."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from verify import pages
from verify.pages import Block, Page, PageError, Section

RULES = tuple(f"ASM{number:03}" for number in range(1, 31))
_CARD = re.compile(r"^❌ (?P<rule>ASM\d{3}): (?P<text>.+)$")
_HEAD = """# Anti-patterns

Use this when the audit names a rule, or you review code for what goes wrong most.

- `python3 scripts/audit.py app/` looks for these rules; `--explain ASM013` prints one.
- Each link leads to a ❌ that the tests run and see fail as it says, and the ✅ that cures it.
- A rule with several entries has several faces.

<!-- Generated from the cards in the guides by `python -m verify sync --write`. -->
"""


@dataclass(frozen=True)
class Card:
    """A ❌ with the id of a rule.

    Attributes:
        sentence: What is wrong, and why.
        block: The first block of the ❌.
    """

    rule: str
    sentence: str
    page: Page
    section: Section
    block: Block


def find(root: Path) -> list[Card]:
    """The cards of all guides, in the order of their rules.

    Raises:
        PageError: A card has no block below it, or an id that does not exist.
    """
    cards: list[Card] = []
    for path in sorted((root / "references").glob("*.md")):
        if pages.is_generated(path):
            continue
        page = pages.parse(path)
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if not (match := _CARD.match(line)):
                continue
            if match["rule"] not in RULES:
                raise PageError(path, number, f"there is no rule {match['rule']}")
            cards.append(_card(page, number, match["rule"], match["text"]))
    return sorted(cards, key=lambda card: (card.rule, card.page.path.name, card.block.line))


def _card(page: Page, line: int, rule: str, text: str) -> Card:
    sentence = re.split(r"(?<=[a-z`)\"'])[.:](?: |$)", text, maxsplit=1)[0].rstrip(".:") + "."
    for section in page.sections:
        for block in section.blocks:
            if block.line > line:
                if block.mark != "❌":
                    break
                return Card(rule, sentence, page, section, block)
    raise PageError(page.path, line, f"the card of {rule} has no block below it in a section")


def generate(root: Path) -> str:
    """The text of references/anti-patterns.md."""
    cards = find(root)
    lines = [_HEAD]
    for rule in RULES:
        own = [card for card in cards if card.rule == rule]
        if own:
            lines.append(f"## {rule}\n")
            lines += [f"- {card.sentence} [{_plain(card.section.title)}]({_target(card)})" for card in own]
            lines.append("")
    return "\n".join(lines).rstrip() + "\n"


def _plain(title: str) -> str:
    return title.strip('"')


def _target(card: Card) -> str:
    return f"{card.page.path.name}#{pages.slug(card.section.title.replace('`', ''))}"
