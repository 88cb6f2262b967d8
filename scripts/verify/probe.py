"""What a running section reports: statements that ran, values, output, errors, warnings, logs and SQL."""

from __future__ import annotations

import gc
import logging
import os
import re
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, TextIO

from sqlalchemy import Engine, event

from verify import expectations, noise
from verify.expectations import Expectation
from verify.instrument import Check
from verify.pages import Database

_NOT_COUNTED = re.compile(r"\s*(PRAGMA|SET|BEGIN|START TRANSACTION|COMMIT|ROLLBACK|SAVEPOINT|RELEASE)\b", re.IGNORECASE)


class CheckError(AssertionError):
    """A page says one thing and the run another.

    Attributes:
        line: Line of the page that says it.
    """

    def __init__(self, line: int, expected: str, got: str) -> None:
        super().__init__(f"expected  {expected}\n     got  {got}")
        self.line = line


@dataclass(frozen=True)
class Raised:
    """An announced error as it came: the classes differ from database to database."""

    line: int
    outer: str
    inner: str


@dataclass(frozen=True)
class Surprise:
    """Something that happened and that the page does not announce."""

    kind: str  # warning, log, output, stderr or unraisable
    category: str
    text: str

    def __str__(self) -> str:
        return f"unannounced {self.kind}: {self.category + ': ' if self.category else ''}{self.text}"


class Captured:
    """A standard stream of this process and of those that it starts, in a file.

    Args:
        number: 1 or 2.
    """

    def __init__(self, number: int, path: Path) -> None:
        target = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(target, number)
        os.close(target)
        self.stream = open(number, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
        self._written = open(path, encoding="utf-8", errors="replace")  # noqa: SIM115

    def take(self) -> str:
        """What was written since the last look."""
        self.stream.flush()
        return self._written.read()


class Probe:
    """One per process; the instrumented code finds it in builtins."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.hits: set[int] = set()
        self.stops: set[int] = set()  # lines at which an announced error left a function
        self.raises: list[Raised] = []
        self.statements: list[str] = []
        self.proofs = 0
        self.counting = True
        self.recover = False  # an announced error came: the session needs a rollback
        self.failures: list[CheckError] = []
        self.surprises: list[Surprise] = []
        self.sources: frozenset[str] = frozenset()  # file names whose lines are lines of the page
        self._checks: dict[int, Check] = {}
        self._compared: set[int] = set()
        self._warned: list[Warning] = []
        self._handler = logging.Handler(logging.WARNING)

    def install(self, folder: Path) -> None:
        """Take over stdout, stderr, warnings, logs, unraisable errors and SQL events of this process.

        Args:
            folder: Where the output is kept.
        """
        self._stdout, self._stderr = Captured(1, folder / "stdout"), Captured(2, folder / "stderr")
        self._handler.emit = self._on_log  # type: ignore[method-assign]
        event.listen(Engine, "before_cursor_execute", self._on_statement)
        self._listen()

    def _listen(self) -> None:
        """Hear everything again: what one block turns off is on for the next."""
        sys.stdout, sys.stderr = self._stdout.stream, self._stderr.stream
        warnings.resetwarnings()
        warnings.simplefilter("always")
        warnings.showwarning = self._on_warning
        sys.unraisablehook = self._on_unraisable
        logging.disable(logging.NOTSET)
        root = logging.getLogger()
        if self._handler not in root.handlers:
            root.addHandler(self._handler)

    def begin(self, checks: Mapping[int, Check] = MappingProxyType({})) -> None:
        """Start a block; functions of the blocks before it keep their checks."""
        self._listen()
        self._checks.update(checks)
        self.statements, self.failures, self.surprises, self.raises = [], [], [], []
        self.proofs = 0

    def end(self) -> None:
        """Finish a block: what it left unsaid becomes a surprise."""
        gc.collect()
        if text := self.take_output():
            self.surprises.append(Surprise("output", "", text.rstrip()))
        if text := self._stderr.take():
            self.surprises.append(Surprise("stderr", "", text.rstrip()))
        self.surprises += [Surprise("warning", type(one).__name__, str(one)) for one in self._warned]
        self._warned = []
        self.surprises = [
            one for one in self.surprises if not noise.is_known(self.database, one.kind, one.category, one.text)
        ]

    def never_compared(self) -> list[Expectation]:
        """Expectations whose statement ran, and left before it could be judged: by `return`, or by an error that was caught."""
        return [
            one
            for number, check in self._checks.items()
            if check.statement in self.hits and number not in self._compared
            for one in self._expected(number)[:1]
        ]

    def take_output(self) -> str:
        """What was printed since the last look."""
        return self._stdout.take()

    @contextmanager
    def unseen(self) -> Iterator[None]:
        """SQL in here is the suite's own."""
        self.counting = False
        try:
            yield
        finally:
            self.counting = True

    # ---- called by instrumented code -----------------------------------------------------

    def hit(self, line: int) -> None:
        """A statement is about to run."""
        self.hits.add(line)

    def value(self, number: int, value: Any) -> Any:
        """Check the value of an expression; where it is None, what was printed."""
        expected = self._compare(number)
        if value is None and not (len(expected) == 1 and expected[0].text == "None"):
            self.output(number)
            return None
        if not expected:
            self._nothing_said(number, repr(value))
            return value
        self.proofs += 1
        text = "\n".join(one.text for one in expected)
        if not expectations.matches_text(text, repr(value)):
            self._fail(expected[0].line, text, repr(value))
        return value

    def output(self, number: int) -> None:
        """Check what was printed since the last check."""
        expected, text = self._compare(number), self.take_output()
        if not expected:
            if text:
                self._nothing_said(number, text)
            return
        self.proofs += 1
        lines = [one.text for one in expected]
        if not expectations.matches_lines(lines, text):
            self._fail(
                expected[0].line, "\n          ".join(lines), text.rstrip().replace("\n", "\n          ") or "no output"
            )

    def raised(self, number: int, error: BaseException) -> None:
        """Check an error; one that is not the announced one goes on."""
        expected = self._compare(number)
        if isinstance(error, (CheckError, KeyboardInterrupt, SystemExit)) or not expected:
            raise error
        for one in expected:
            if not expectations.matches_error(one, error):
                chain = " <- ".join(f"{type(e).__name__}: {_first_line(e)}" for e in expectations.error_chain(error))
                raise self._failure(one.line, str(one), chain) from error
        statement = self._checks[number].statement
        self._compared |= {other for other, check in self._checks.items() if check.statement == statement}
        self.proofs += 1
        self.recover = True
        self.stops |= set(page_lines(error.__traceback__, self.sources))
        chain_ = expectations.error_chain(error)
        self.raises.append(Raised(expected[0].line, _qualified(chain_[0]), _qualified(chain_[-1])))

    def not_raised(self, number: int) -> None:
        """The statement ended without the announced error."""
        for one in self._compare(number)[:1]:
            self._fail(one.line, str(one), "no error")

    def warned(self, number: int) -> None:
        """Check that the announced warnings came, and take them. A log record counts by the name of its logger."""
        for one in self._compare(number):
            gc.collect()
            warned = [
                w
                for w in self._warned
                if expectations.is_named(type(w), one.type) and expectations.contains_text(one.text, str(w))
            ]
            logged = [
                s
                for s in self.surprises
                if s.kind == "log" and s.category == one.type and expectations.contains_text(one.text, s.text)
            ]
            if not warned and not logged:
                came = "; ".join([f"{type(w).__name__}: {w}" for w in self._warned] + [str(s) for s in self.surprises])
                self._fail(one.line, str(one), came or "no warning")
            self.proofs += 1
            self._warned = [w for w in self._warned if w not in warned]
            self.surprises = [s for s in self.surprises if s not in logged]

    # ---- listeners -------------------------------------------------------------------------

    def _on_warning(
        self,
        message: Warning | str,
        category: type[Warning],
        filename: str,  # noqa: ARG002
        lineno: int,  # noqa: ARG002
        file: TextIO | None = None,  # noqa: ARG002
        line: str | None = None,  # noqa: ARG002
    ) -> None:
        self._warned.append(message if isinstance(message, Warning) else category(message))

    def _on_unraisable(self, unraisable: Any) -> None:
        text = f"{unraisable.exc_value!r} in {unraisable.object!r}"
        self.surprises.append(Surprise("unraisable", type(unraisable.exc_value).__name__, text))

    def _on_log(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if record.exc_info and record.exc_info[1]:
            text += f" ({type(record.exc_info[1]).__name__}: {_first_line(record.exc_info[1])})"
        self.surprises.append(Surprise("log", record.name, text))

    def _on_statement(
        self,
        connection: Any,  # noqa: ARG002
        cursor: Any,  # noqa: ARG002
        statement: str,
        parameters: Any,
        context: Any,  # noqa: ARG002
        executemany: bool,
    ) -> None:
        if self.counting and not _NOT_COUNTED.match(statement):
            rows = executemany and parameters and isinstance(parameters[0], (list, tuple, dict))
            times = f"1x{len(parameters)} " if rows else ""
            self.statements.append(times + " ".join(statement.split()))

    # ---- details ---------------------------------------------------------------------------

    def _expected(self, number: int) -> list[Expectation]:
        return expectations.on(self.database, self._checks[number].expected)

    def _compare(self, number: int) -> list[Expectation]:
        self._compared.add(number)
        return self._expected(number)

    def _nothing_said(self, number: int, got: str) -> None:
        self._fail(self._checks[number].expected[0].line, f"the page says nothing for {self.database}", got)

    def _failure(self, line: int, expected: str, got: str) -> CheckError:
        failure = CheckError(line, expected, got)
        self.failures.append(failure)
        return failure

    def _fail(self, line: int, expected: str, got: str) -> None:
        raise self._failure(line, expected, got)


def page_lines(traceback: TracebackType | None, sources: frozenset[str]) -> list[int]:
    """Lines of the page in a traceback, outermost first."""
    lines = []
    while traceback:
        if traceback.tb_frame.f_code.co_filename in sources:
            lines.append(traceback.tb_lineno)
        traceback = traceback.tb_next
    return lines


def _qualified(error: BaseException) -> str:
    return f"{type(error).__module__}.{type(error).__qualname__}"


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [""])[0]
