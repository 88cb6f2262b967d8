"""What a page must hold beyond its grammar: valid code, proofs beside claims, and few blocks that are not run."""

from __future__ import annotations

import ast
import configparser
import itertools
import json
import tomllib
from collections.abc import Iterable
from pathlib import Path

import yaml

from verify import exchange, expectations, instrument, shell, sql
from verify.expectations import Expectation
from verify.pages import Block, Page, PageError, Section

MAX_NOT_RUN = 0.02  # norun and partial blocks among all
MAX_RESTRICTED = 0.15  # blocks that run on one database only


def check(page: Page) -> None:
    """Check one page.

    Raises:
        PageError: A block is malformed, a ❌ has no proof, or no ✅ passes its probe.
    """
    if not list(page.blocks):
        raise PageError(page.path, 1, "no code blocks found: nothing on this page can be verified")
    for block in page.blocks:
        _check_block(block, page.path)
    for section in page.programs:
        _check_outputs(page.steps(section), page.path)
        _check_marks(section, page.path)
    if page.programs and page.programs != (page.preface,):
        _check_marks(page.preface, page.path)


def check_shares(pages: Iterable[Page]) -> None:
    """Check how much of the pages together is not run, or runs on one database only.

    Raises:
        PageError: More than the share allowed; also where there is no block at all.
    """
    every = [(page, block) for page in pages for block in page.blocks]
    if not every:
        raise PageError(Path("."), 1, "no code blocks found on any page")
    not_run = [(page, block) for page, block in every if block.norun or block.partial]
    restricted = [(page, block) for page, block in every if len(block.databases) == 1 and not block.lab]
    for found, share, what in (
        (not_run, MAX_NOT_RUN, "norun or partial"),
        (restricted, MAX_RESTRICTED, "restricted to one database"),
    ):
        if len(found) > max(1, share * len(every)):
            page, block = found[-1]
            raise PageError(
                page.path, block.line, f"{len(found)} of {len(every)} blocks are {what}; at most {share:.0%} may be"
            )


def block_expectations(block: Block, path: Path) -> list[Expectation]:
    """The expectations in a block, whatever its language.

    Raises:
        PageError: One of them is malformed.
    """
    if block.language == "python" and block.kind == "program":
        return [expectation for expectation, _, _ in expectations.comments(block.code, block.code_line, path)]
    if block.language == "bash" and block.kind == "program":
        return [one for command in shell.parse(block, path) for one in command.expected]
    if block.language == "sql" and block.kind == "program":
        return [one for query in sql.parse(block, path) for one in query.expected]
    return []


def _check_block(block: Block, path: Path) -> None:
    if block.lab:
        raise PageError(path, block.line, f"lab={block.lab}: the suite has no such server yet")
    if block.kind == "norun":
        return
    if block.language == "python":
        tree = instrument.read(block.code, block.code_line, path)
        if block.kind == "program":
            instrument.attach(tree, block.code, block.code_line, path)
        elif block.kind == "file":
            _check_file(tree, block, path)
    elif block.kind == "program":
        {"bash": shell.parse, "sql": sql.parse, "http": exchange.parse}[block.language](block, path)
    if block.kind == "data" or (block.kind == "file" and block.language in {"toml", "ini", "json", "yaml"}):
        _check_data(block, path)


def _check_file(tree: ast.Module, block: Block, path: Path) -> None:
    for node in tree.body:
        if instrument.awaits(node):
            raise PageError(path, node.lineno, f"{block.title} is a module: await stands only inside a function there")
    if found := expectations.comments(block.code, block.code_line, path):
        raise PageError(
            path, found[0][0].line, f"expectations in {block.title} are not checked; write them in an untitled block"
        )


def _check_data(block: Block, path: Path) -> None:
    try:
        if block.language == "toml":
            tomllib.loads(block.code)
        elif block.language == "json":
            json.loads(block.code)
        elif block.language == "yaml":
            yaml.safe_load(block.code)
        elif block.language == "ini":
            parser = configparser.RawConfigParser(strict=True)
            parser.read_string(block.code)
    except (ValueError, yaml.YAMLError, configparser.Error) as error:
        raise PageError(path, block.code_line, f"not valid {block.language}: {' '.join(str(error).split())}") from None


def _check_outputs(steps: tuple[Block, ...], path: Path) -> None:
    before: Block | None = None
    for block in steps:
        if block.kind == "output":
            if before is None:
                raise PageError(
                    path,
                    block.line,
                    f"an untitled {block.language} block is the output of the block before it; there is none",
                )
            if block.language == "json" and before.language != "python":
                raise PageError(path, block.line, "a json block is the output of a python block")
            before = None
        elif block.kind == "program":
            before = block


def _check_marks(section: Section, path: Path) -> None:
    groups = [list(blocks) for _, blocks in itertools.groupby(section.blocks, key=lambda block: block.group)]
    good = [group for group in groups if group[0].mark == "✅"]
    for group in good:
        if not any(block.kind == "program" for block in group):
            raise PageError(path, group[0].line, "a ✅ block must be run")
    for group in groups:
        if group[0].mark != "❌":
            continue
        harm = _probes(group, path)
        if not harm:
            raise PageError(
                path,
                group[0].line,
                "a ❌ block must prove its harm: # raises, # warns, # => the wrong value, queries=N or exit=N",
            )
        if not any(_passes(other, harm, path) for other in good):
            raise PageError(
                path, group[0].line, f"no ✅ block in this section passes the same probe ({', '.join(sorted(harm))})"
            )


def _probes(group: list[Block], path: Path) -> dict[str, int]:
    """What a group shows of itself: kinds of probe, and the number that goes with it."""
    probes: dict[str, int] = {}
    for block in group:
        if block.kind == "output":
            probes["value"] = 1
        if block.kind != "program":
            continue
        for one in block_expectations(block, path):
            probes["error" if one.kind == "raises" else one.kind] = 1
        if block.exit:
            probes["error"] = 1
        if block.queries:
            probes["queries"] = max(block.queries.values())
        if block.language == "http":
            refused = all(one.status >= 400 for one in exchange.parse(block, path))
            probes["error" if refused else "value"] = 1
    return probes


def _passes(group: list[Block], harm: dict[str, int], path: Path) -> bool:
    cure = _probes(group, path)
    if "error" in harm:
        return "error" not in cure
    if "warns" in harm:
        return "warns" not in cure and "error" not in cure
    if "queries" in harm and "queries" in cure and cure["queries"] < harm["queries"]:
        return True
    return "value" in harm and "value" in cure
