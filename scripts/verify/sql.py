"""SQL blocks: statements that end with `;`, their rows in `-- => (...)` comments."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from verify import expectations
from verify.expectations import Expectation
from verify.pages import Block, Database, PageError
from verify.probe import CheckError


@dataclass
class Query:
    """One statement."""

    line: int
    text: str
    expected: list[Expectation] = field(default_factory=list)


class Output(Protocol):
    """Takes the rows that no comment announces."""

    def write(self, text: str, /) -> object: ...


def parse(block: Block, path: Path) -> list[Query]:
    """Read a block.

    Raises:
        PageError: An expectation stands before the first statement, or the last one has no `;`.
    """
    queries: list[Query] = []
    pending, first = "", 0
    for number, line in enumerate(block.code.splitlines(), block.code_line):
        stripped = line.strip()
        if stripped.startswith("--"):
            if expectation := expectations.read(stripped, number, path):
                if expectation.kind == "warns":
                    raise PageError(path, number, "SQL warns nothing; write `-- => row` or `-- raises Type: text`")
                if not queries or pending:
                    raise PageError(path, number, "the expectation belongs to no statement: none ends above it")
                queries[-1].expected.append(expectation)
            continue
        if "-- =>" in line or "-- raises" in line:
            raise PageError(path, number, "write the expectation on a line of its own, below the statement")
        if stripped:
            first = first if pending else number
            pending = f"{pending}\n{line}" if pending else line
        if stripped.endswith(";"):
            queries.append(Query(first, pending.rstrip().rstrip(";")))
            pending = ""
    if pending:
        raise PageError(path, first, "the statement does not end with `;`")
    if not queries:
        raise PageError(path, block.line, "an sql block without a statement")
    return queries


async def run(queries: list[Query], engine: AsyncEngine, database: Database, output: Output) -> int:
    """Run the statements, each in its own transaction.

    Returns:
        The number of checks made.

    Raises:
        CheckError: Other rows, another error or no error came.
    """
    proofs = 0
    for query in queries:
        expected = expectations.on(database, query.expected)
        raises = [one for one in expected if one.kind == "raises"]
        rows: list[str] = []
        try:
            async with engine.begin() as connection:
                result = await connection.execute(text(query.text.replace(":", "\\:")))
                if result.returns_rows:
                    rows = [str(tuple(row)) for row in result]
        except Exception as error:
            if not raises:
                raise
            if not expectations.matches_error(raises[0], error):
                chain = " <- ".join(f"{type(one).__name__}: {one}" for one in expectations.error_chain(error))
                raise CheckError(raises[0].line, str(raises[0]), chain) from error
            proofs += 1
            continue
        if raises:
            raise CheckError(raises[0].line, str(raises[0]), "no error")
        if not expected:
            output.write("".join(f"{row}\n" for row in rows))
            continue
        proofs += 1
        if not expectations.matches_lines([one.text for one in expected], "\n".join(rows)):
            raise CheckError(
                expected[0].line,
                "\n          ".join(one.text for one in expected),
                "\n          ".join(rows) or "no rows",
            )
    return proofs
