"""Statements of a page that never ran, in the union over its sections and the databases that are there."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterable

from verify import instrument
from verify.pages import Block, Database, Page
from verify.runner import SectionRun


def never_ran(page: Page, runs: Iterable[SectionRun], databases: Collection[Database]) -> list[int]:
    """Lines of the statements that a reader sees and no run reached.

    What follows an announced error in the same function is exempt, as are partial blocks; but never a statement with an
    expectation. Blocks that are not run, quoted from an asset, or meant for databases that are not there do not count.
    """
    runs = list(runs)
    hits = set().union(*(run.hits for run in runs))
    stops = set().union(*(run.stops for run in runs))
    missing = []
    for block in page.blocks:
        runs_here = block.kind in {"program", "file"} and set(block.databases) & set(databases)
        if block.language != "python" or not runs_here:
            continue
        tree = instrument.read(block.code, block.code_line, page.path)
        promised = set() if block.partial else {node.lineno for node in instrument.statements(tree)}
        promised -= _after_errors(tree, (line for line in stops if block.code_line <= line <= block.end_line))
        missing += sorted((promised | _with_expectations(tree, block, page, databases)) - hits)
    return missing


def _with_expectations(tree: ast.Module, block: Block, page: Page, databases: Collection[Database]) -> set[int]:
    if block.kind != "program":
        return set()
    attached = instrument.attach(tree, block.code, block.code_line, page.path)
    return {
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.stmt)
        and any(not one.databases or set(one.databases) & set(databases) for one in attached.get(id(node), ()))
    }


def _after_errors(tree: ast.Module, stops: Iterable[int]) -> set[int]:
    exempt: set[int] = set()
    for line in stops:
        _, last = instrument.enclosing(tree, line)
        exempt |= set(range(line + 1, last + 1))
    return exempt
