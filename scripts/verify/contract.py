"""What a page must hold beyond its grammar: valid code, proofs beside claims, and few blocks that are not run."""

from __future__ import annotations

import ast
import configparser
import itertools
import json
import tomllib
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from verify import exchange, expectations, instrument, shell, sql
from verify.expectations import Expectation
from verify.pages import Block, Page, PageError, Section

MAX_NOT_RUN = 0.02  # norun and partial blocks among all
RUN = frozenset({"program", "file"})  # kinds of block that a section runs
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
        _check_lab(section, page.path)
    if page.programs and page.programs != (page.preface,):
        _check_marks(page.preface, page.path)
        if labs := [block for block in page.preface.blocks if block.lab]:
            raise PageError(page.path, labs[0].line, "the preface runs in every section: write lab=... below a heading")


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
    if block.language == "python":
        tree = instrument.read(block.code, block.code_line, path)
        _check_statements(tree, block, path)
        if block.kind == "program":
            instrument.attach(tree, block.code, block.code_line, path)
        elif block.kind == "file":
            _check_file(tree, block, path)
    elif block.kind == "program":
        {"bash": shell.parse, "sql": sql.parse, "http": exchange.parse}[block.language](block, path)
    if block.kind == "output":
        parts = [block.code] if block.language == "json" else block.code.splitlines()
        if not block.code.strip() or any(expectations.is_anything(part) for part in parts):
            raise PageError(path, block.line, "`…` alone passes for any output; put a literal part beside it")
    if block.kind == "data" or (block.kind == "file" and block.language in {"toml", "ini", "json", "yaml"}):
        _check_data(block, path)


def _check_statements(tree: ast.Module, block: Block, path: Path) -> None:
    if not tree.body and block.kind == "program":
        raise PageError(path, block.line, "a python block without a statement")
    lines: set[int] = set()
    for node in instrument.statements(tree):
        if node.lineno in lines:
            raise PageError(
                path, node.lineno, "write one statement a line: whether each of them ran is seen by its line"
            )
        lines.add(node.lineno)


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
    for before, block in itertools.pairwise((None, *steps)):
        if block is None or block.kind != "output":
            continue
        if before is None or before.kind != "program":
            raise PageError(
                path,
                block.line,
                f"an untitled {block.language} block is the output of the block before it, and that one is not run",
            )
        if block.language == "json" and before.language != "python":
            raise PageError(path, block.line, "a json block is the output of a python block")


def _check_lab(section: Section, path: Path) -> None:
    """A section has the servers of one lab, on one database, or none."""
    wanted = {(block.lab, block.databases if block.lab else ()) for block in section.blocks if block.kind in RUN}
    labs = [block for block in section.blocks if block.lab]
    if labs and (len(wanted) > 1 or len(labs[0].databases) != 1 or any(block.kind not in RUN for block in labs)):
        raise PageError(
            path,
            labs[0].line,
            "a section is a lab as a whole: the same lab=..., on one database, on each of its blocks that is run",
        )


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


def _probes(group: list[Block], path: Path) -> dict[str, list[Any]]:
    """What a group shows of itself: kinds of probe, and what they show."""
    probes: dict[str, list[Any]] = defaultdict(list)
    for block in group:
        if block.kind == "output":
            probes["value"].append(block.code)
        if block.kind != "program":
            continue
        for one in block_expectations(block, path):
            probes["error" if one.kind == "raises" else one.kind].append((one.type, one.text, one.databases))
        if block.exit:
            probes["error"].append(block.exit)
        if block.queries:
            probes["queries"].append(max(block.queries.values()))
        if block.language == "http":
            answers = exchange.parse(block, path)
            refused = all(one.status >= 400 for one in answers)
            probes["error" if refused else "value"] += [(one.status, one.body) for one in answers]
    return probes


def _passes(group: list[Block], harm: dict[str, list[Any]], path: Path) -> bool:
    cure = _probes(group, path)
    if "error" in harm:
        return "error" not in cure
    if "warns" in harm:
        return "warns" not in cure and "error" not in cure
    if "queries" in harm and "queries" in cure and max(cure["queries"]) < max(harm["queries"]):
        return True
    return "value" in harm and "value" in cure and cure["value"] != harm["value"]
