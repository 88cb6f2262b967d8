"""Shell blocks: one command a line, from a short list of programs, with their output in `# =>` comments."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import signal
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from verify import expectations
from verify.expectations import Expectation
from verify.pages import Block, Database, PageError
from verify.probe import CheckError

COMMANDS = ("alembic", "python", "pytest", "curl", "uvicorn")


@dataclass
class Command:
    """One command of a block.

    Attributes:
        words: Program and arguments.
        environment: Assignments that stand before the program.
        background: Whether it ends with `&`: it runs until the section ends.
    """

    line: int
    words: list[str]
    environment: dict[str, str]
    background: bool = False
    expected: list[Expectation] = field(default_factory=list)


def parse(block: Block, path: Path) -> list[Command]:
    """Read a block.

    Raises:
        PageError: A command is not in the list, or uses a feature of a shell.
    """
    commands: list[Command] = []
    pending = ""
    for number, text in enumerate(block.code.splitlines(), block.code_line):
        stripped = text.strip()
        if not pending and (not stripped or stripped.startswith("#")):
            expectation = expectations.read(stripped, number, path) if stripped else None
            if expectation and expectation.kind != "value":
                raise PageError(
                    path, number, f"a command {expectation.kind} nothing; use exit=N and `# => line of output`"
                )
            if expectation and not commands:
                raise PageError(path, number, "the expectation belongs to no command: none stands above it")
            if expectation:
                commands[-1].expected.append(expectation)
            continue
        pending += stripped
        if pending.endswith("\\"):
            pending = pending[:-1]
            continue
        commands.append(_command(pending, number, path))
        pending = ""
    if pending:
        raise PageError(path, block.end_line, "the last line ends with a backslash")
    if not commands:
        raise PageError(path, block.line, "a bash block without a command")
    return commands


async def run(
    commands: list[Command],
    database: Database,
    expected_exit: int,
    background: list[asyncio.subprocess.Process],
    alembic: Callable[[list[str]], Awaitable[tuple[int, str]]],
) -> tuple[str, int]:
    """Run the commands of a block in the current folder.

    Args:
        expected_exit: Exit code of the last command; the others end with 0.
        background: Receives the processes that go on.
        alembic: Runs alembic with these arguments; gives exit code and output.

    Returns:
        What was printed, and the number of checks made.

    Raises:
        CheckError: A command ends otherwise, or prints something else.
    """
    printed, proofs = "", 0
    for command in commands:
        if command.background:
            background.append(await _start(command))
            continue
        if command.words[0] == "alembic" and not command.environment:
            code, output = await alembic(command.words[1:])
        else:
            process = await _start(command)
            code, output = await process.wait(), ""
            if process.stdout:
                output = (await process.stdout.read()).decode(errors="replace")
        wanted = expected_exit if command is commands[-1] else 0
        if code != wanted:
            shown = "\n          ".join(output.rstrip().splitlines()[-15:])
            raise CheckError(command.line, f"exit code {wanted}", f"exit code {code}, after\n          {shown}")
        proofs += bool(wanted)
        lines = iter(output.splitlines())
        for one in expectations.on(database, command.expected):
            if not any(expectations.matches_text(one.text, line.rstrip()) for line in lines):
                shown = "\n          ".join(output.rstrip().splitlines()) or "no output"
                raise CheckError(one.line, one.text, shown)
            proofs += 1
        printed += output
    return printed, proofs


async def stop(background: list[asyncio.subprocess.Process]) -> None:
    """End the processes that run in the background."""
    for process in background:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
            await process.wait()


def _command(text: str, line: int, path: Path) -> Command:
    outside = re.sub(r"'[^']*'", "", text)  # of single quotes
    if found := re.search(r"[$`]|\*(?=[^\"]*(?:\"[^\"]*\"[^\"]*)*$)|(?:^| )#.*", outside):
        raise PageError(path, line, f"{found[0]!r}: a shell would change it; write the words as the command gets them")
    try:
        lexer = shlex.shlex(text, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        lexer.commenters = ""
        words = list(lexer)
    except ValueError as error:
        raise PageError(path, line, f"not a command: {error}") from None
    background = words[-1] == "&"
    words = words[:-1] if background else words
    environment: dict[str, str] = {}
    while words and (name := words[0].partition("="))[1] and name[0].isidentifier():
        environment[name[0]] = name[2]
        words = words[1:]
    if operators := [word for word in words if word and set(word) <= set("&|;<>()")]:
        raise PageError(
            path, line, f"{operators[0]!r}: write one command a line, without pipes, lists and redirections"
        )
    if not words or words[0] not in COMMANDS:
        name_ = words[0] if words else text
        raise PageError(path, line, f'{name_!r} is not run here (only {", ".join(COMMANDS)}); add norun="reason"')
    if background and words[0] != "uvicorn":
        raise PageError(path, line, "only uvicorn may run in the background")
    return Command(line, words, environment, background)


async def _start(command: Command) -> asyncio.subprocess.Process:
    modules = {"python": [], "alembic": ["-m", "alembic"], "pytest": ["-m", "pytest"], "uvicorn": ["-m", "uvicorn"]}
    program, *arguments = command.words
    line = (
        ["curl", "--silent", "--show-error", *arguments]
        if program == "curl"
        else [sys.executable, *modules[program], *arguments]
    )
    return await asyncio.create_subprocess_exec(
        *line,
        env={**os.environ, **command.environment},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL if command.background else asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL if command.background else asyncio.subprocess.STDOUT,
    )
