"""A section while it runs: one process, one folder, one database."""

from __future__ import annotations

import asyncio
import faulthandler
import gc
import importlib.util
import json
import linecache
import os
import socket
import sys
import time
import traceback
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TextIO

import httpx
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlmodel import SQLModel
from sqlmodel.ext.asyncio.session import AsyncSession

from verify import databases, exchange, expectations, extract, instrument, shell, sql, tracing
from verify.extract import Program, Step
from verify.forking import Wish
from verify.messages import Done, Job, Message, Restart, Result
from verify.pages import Block
from verify.probe import CheckError, Probe, page_lines
from verify.serving import AppServer

SERVICE = extract.ROOT / "assets" / "service"


def _template() -> types.ModuleType:
    """app/database.py of the template, loaded by itself: what a page's reader has copied."""
    path = SERVICE / "app" / "database.py"
    spec = importlib.util.spec_from_file_location("verify_template_database", path)
    if not spec or not spec.loader:
        raise ImportError(f"cannot load {path}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


TEMPLATE = _template()


def run(job: Job, send: Callable[[Message], None], receive: Callable[[], int]) -> None:
    """Run a section in this process, which is given up afterwards.

    Args:
        send: Takes results, and wishes for a process.
        receive: Waits for the exit code of the process that was wished for.
    """
    os.setpgid(0, 0)
    began = time.monotonic()
    program = extract.load(job.folder)
    stacks = open(job.stacks, "w", buffering=1)  # noqa: SIM115  # faulthandler needs it open
    faulthandler.dump_traceback_later(program.seconds + 1, exit=True, file=stacks)  # the event loop does not turn
    gc.freeze()
    os.chdir(job.work)
    os.environ["DATABASE_URL"] = job.url
    os.environ.update(job.environment)
    os.environ.update(tracing.prepare(job.home, os.environ))
    sys.dont_write_bytecode = True
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    sys.path.insert(0, str(job.work))
    if not any(step.block.title.startswith("app/") for step in program.steps):
        sys.path.append(str(SERVICE))  # the reader has copied the template
        os.environ["PYTHONPATH"] += os.pathsep + str(SERVICE)  # for the processes that the section starts
    probe = Probe(job.database)
    probe.install(job.home)
    tracing.mark_imports(probe)
    asyncio.run(_limited(Running(program, job, probe, began, receive, send), stacks))
    faulthandler.cancel_dump_traceback_later()


async def _limited(running: Running, stacks: TextIO) -> None:
    def give_up() -> None:
        for task in asyncio.all_tasks():
            stacks.write(f"{task.get_name()}:\n{''.join(_awaited(task.get_coro()))}")
        os._exit(1)

    asyncio.get_running_loop().call_later(running.program.seconds, give_up)
    await running.run()


def _awaited(coroutine: Any) -> Iterator[str]:
    """The lines at which a suspended coroutine, and those that it awaits, stand."""
    while coroutine is not None:
        frame = getattr(coroutine, "cr_frame", None) or getattr(coroutine, "gi_frame", None)
        if frame is not None:
            line = linecache.getline(frame.f_code.co_filename, frame.f_lineno).strip()
            yield f"  {frame.f_code.co_filename}:{frame.f_lineno}: {line}\n"
        coroutine = getattr(coroutine, "cr_await", None) or getattr(coroutine, "gi_yieldfrom", None)


@dataclass
class Running:
    """State of a section: its namespace, ambient objects and servers."""

    program: Program
    job: Job
    probe: Probe
    began: float
    receive: Callable[[], int]
    send: Callable[[Message], None]
    database_seconds: float = 0.0
    table_error: str = ""
    made: set[str] = field(default_factory=set)  # tables that exist
    background: list[asyncio.subprocess.Process] = field(default_factory=list)
    server: AppServer = field(default_factory=AppServer)

    async def run(self) -> None:
        """Run the steps in order, and send a result for each block."""
        send = self.send
        self.module = types.ModuleType("section")
        sys.modules["section"] = self.module
        self.engine: AsyncEngine = TEMPLATE.make_engine(self.job.url)
        self.session: AsyncSession = TEMPLATE.make_sessions(self.engine)()
        self.module.__dict__.update(engine=self.engine, session=self.session)
        self.sources: dict[str, str] = {str(self.program.page): ""}
        for step in self.program.steps:
            if step.source:
                self.sources[str(self.job.work / step.block.title)] = step.block.title
        self.probe.sources = frozenset(self.sources)
        if self.job.first == 0:
            started = time.monotonic()
            await databases.make_empty(self.job.url)
            self.database_seconds += time.monotonic() - started
        ran, failed, restart = False, 0, None
        for number, step in enumerate(self.program.steps):
            block = step.block
            if number < self.job.first or self.job.database not in block.databases:
                continue
            if block.kind == "norun":
                if block.line == self.job.trial:
                    send(await self._try(block))
                    break
                continue
            if self.job.trial and block.line > self.job.trial:
                break
            if failed:
                send(Result(block.line, "not run", f"not run: the block on line {failed} failed before it"))
                continue
            if step.source and ran and (self.job.work / block.title).exists():
                restart = Restart(number)
                break
            result = await self._block(step)
            ran = ran or not step.source
            send(result)
            failed = block.line if result.outcome != "passed" else 0
        problem = await self._close()
        if not failed and not self.job.trial:
            self._send_what_was_never_compared()
            if problem:
                send(Result(0, "failed", problem))
        hits = frozenset(self.probe.hits | tracing.child_hits())
        send(Done(hits, frozenset(self.probe.stops), self.began, self.database_seconds))
        if restart:
            send(restart)

    async def _block(self, step: Step) -> Result:
        started = time.perf_counter()
        block, probe = step.block, self.probe
        message, extra = "", 0
        try:
            if block.kind == "file":
                self._write(step)
                return Result(block.line, "passed", seconds=time.perf_counter() - started)
            probe.begin()
            if block.language == "python":
                await self._python(block)
            else:
                extra = await self._other(block)
            if step.output:
                extra += self._check_output(step.output)
            await self._settle()
            if probe.failures:
                raise probe.failures[0]
            if (wanted := block.queries_on(self.job.database)) is not None:
                if len(probe.statements) != wanted:
                    raise CheckError(block.line, f"queries={wanted}", f"{len(probe.statements)}{self._sql()}")
                extra += 1
        except CheckError as failure:
            message = f"{self.program.page}:{failure.line}: {self._line(failure.line)}\n{failure}"
            await self._settle()
        except (Exception, SystemExit, asyncio.CancelledError) as error:
            message = self._described(error, block)
            if probe.failures:
                message = f"{self.program.page}:{probe.failures[0].line}:\n{probe.failures[0]}\n{message}"
            del error
            await self._settle()
        said = [f"{self.program.page}:{block.line}: {one}" for one in probe.surprises]
        message = "\n".join([message, *said] if message else said)
        return Result(
            block.line,
            "failed" if message else "passed",
            message,
            time.perf_counter() - started,
            probe.proofs + extra,
            tuple(probe.statements),
            tuple(probe.raises),
        )

    def _send_what_was_never_compared(self) -> None:
        for one in self.probe.never_compared():
            block = next(s.block for s in self.program.steps if s.block.line <= one.line <= s.block.end_line)
            reason = "its statement ran, and was left by `return` or by a caught error before it could be compared"
            message = (
                f"{self.program.page}:{one.line}: {self._line(one.line)}\nthe expectation was never judged: {reason}"
            )
            self.send(Result(block.line, "failed", message))

    def _write(self, step: Step) -> None:
        target = self.job.work / step.block.title
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((self.program.folder / step.source).read_bytes())
        if target.suffix == ".py":
            tracing.add_file(target)
        importlib.invalidate_caches()

    async def _python(self, block: Block) -> None:
        page = self.program.page
        compiled = instrument.program(block.code, block.code_line, page, str(page))
        self.probe.begin(compiled.checks)
        for statement in compiled.statements:
            if "client" in statement.names:
                await self._serve()
            result = eval(statement.code, self.module.__dict__) if not statement.awaits else None  # noqa: S307
            if statement.awaits:
                await self._make_tables()
                await eval(statement.code, self.module.__dict__)  # noqa: S307
            del result
            if self.probe.recover:
                await self._recover()

    async def _other(self, block: Block) -> int:
        if block.language == "bash":
            commands = shell.parse(block, self.program.page)
            printed, proofs = await shell.run(commands, self.job.database, block.exit, self.background, self._alembic)
            sys.stdout.write(printed if self._shows_output(block) else "")
            return proofs
        await self._make_tables()
        if block.language == "sql":
            queries = sql.parse(block, self.program.page)
            return await sql.run(queries, self.engine, self.job.database, sys.stdout)
        exchanges = exchange.parse(block, self.program.page)
        client = await self._serve()
        return sum([await exchange.run(one, client) for one in exchanges])

    async def ask(self, wish: Wish) -> int:
        """Have a process forked from the warm parent, and wait for its exit code."""
        self.send(wish)
        return await asyncio.to_thread(self.receive)

    async def _alembic(self, arguments: list[str]) -> tuple[int, str]:
        log = self.job.home / "alembic.log"
        code = await self.ask(Wish(arguments, os.getpgrp(), os.getcwd(), sys.path, dict(os.environ), str(log)))
        return code, log.read_text(errors="replace")

    def _shows_output(self, block: Block) -> bool:
        return any(step.output for step in self.program.steps if step.block is block)

    def _check_output(self, output: Block) -> int:
        printed = self.probe.take_output()
        if output.language == "json":
            try:
                same = expectations.contains_json(json.loads(output.code), json.loads(printed))
            except ValueError:
                same = False
        else:
            same = expectations.matches_lines(output.code.splitlines(), printed)
        if not same:
            indented = [
                "\n          ".join(text.rstrip().splitlines()) or "no output" for text in (output.code, printed)
            ]
            raise CheckError(output.line, *indented)
        return 1

    async def _make_tables(self) -> None:
        missing = [table for name, table in SQLModel.metadata.tables.items() if name not in self.made]
        if not missing or self.program.own_tables:
            return
        self.made |= {table.key for table in missing}
        started = time.monotonic()
        with self.probe.unseen(), self._note_for_tables():
            if self.job.database == "sqlite" and self.session.in_transaction():
                # a transaction that has begun would not see tables of another connection
                await (await self.session.connection()).run_sync(SQLModel.metadata.create_all)
            else:
                async with self.engine.begin() as connection:
                    await connection.run_sync(SQLModel.metadata.create_all)
        self.database_seconds += time.monotonic() - started

    @contextmanager
    def _note_for_tables(self) -> Iterator[None]:
        """A table that cannot be made is the page's affair: the next statement fails by itself, and may be meant to."""
        self.table_error = ""
        try:
            yield
        except Exception as error:
            self.table_error = f"\nThe automatic tables were not made: {type(error).__name__}: {error}"

    async def _recover(self) -> None:
        """After an announced error the session is rolled back and forgets its objects."""
        self.probe.recover = False
        self.made.clear()
        with self.probe.unseen():
            for session in {id(s): s for s in (self.session, self.module.__dict__.get("session"))}.values():
                if isinstance(session, AsyncSession):
                    await session.rollback()
                    session.expunge_all()

    async def _settle(self) -> None:
        await asyncio.sleep(0)
        self.probe.end()

    async def _serve(self) -> httpx.AsyncClient:
        """The client of the section's app; a client that the section made itself stays."""
        names = self.module.__dict__
        if "client" in names and names["client"] is not self.server.client:
            return names["client"]  # type: ignore[no-any-return]
        app = self._app()
        if self.server.client is None or app is not self.server.app:
            await self._make_tables()
            names["client"] = await self.server.serve(app)
        return names["client"]  # type: ignore[no-any-return]

    def _app(self) -> Any:
        app = self.module.__dict__.get("app")
        if app is None or isinstance(app, types.ModuleType):
            for name in ("app.main", "main"):
                if name in sys.modules or (self.job.work / f"{name.replace('.', '/')}.py").exists():
                    return importlib.import_module(name).app
            raise RuntimeError("the section has no `app` to serve, and no app/main.py")
        return app

    async def _close(self) -> str:
        """End what the section started.

        Returns:
            What the section left behind that the page does not announce.
        """
        self.probe.begin()
        await self.server.stop()
        await shell.stop(self.background)
        self.probe.counting = False
        await self.session.close()
        left = await self._release()
        await self._settle()
        running = [task for task in asyncio.all_tasks() if task is not asyncio.current_task() and not task.done()]
        left += [str(one) for one in self.probe.surprises]
        left += [f"a task still runs: {task.get_coro()}" for task in running]
        return "\n".join(f"{self.program.page}:{self.program.line}: at the end of the section: {one}" for one in left)

    async def _release(self) -> list[str]:
        """Close the sessions and engines of the section, and forget its names.

        Returns:
            The engines whose connections are still in use.
        """
        names = self.module.__dict__
        for value in list(names.values()):
            if isinstance(value, AsyncSession):
                await value.close()
        engines = {id(one): (name, one) for name, one in names.items() if isinstance(one, AsyncEngine)}
        engines[id(self.engine)] = ("engine", self.engine)
        left = []
        for name, one in engines.values():
            if used := getattr(one.pool, "checkedout", int)():
                left.append(f"{used} connections of `{name}` are still checked out")
            await one.dispose()
        names.clear()
        return left

    # ---- norun ------------------------------------------------------------------------------

    async def _try(self, block: Block) -> Result:
        """Run a norun block without network: it must not work."""
        if block.language != "python":
            return Result(block.line, "passed")
        _cut_network()
        try:
            await self._python(block)
        except CheckError:
            pass  # it ran, and what it claims is wrong
        except BaseException:
            return Result(block.line, "passed", proofs=1)
        message = f"{self.program.page}:{block.line}: norun={block.norun!r}, but the block runs: remove norun"
        return Result(block.line, "failed", message)

    # ---- messages ---------------------------------------------------------------------------

    def _sql(self) -> str:
        return "".join(f"\n          {statement}" for statement in self.probe.statements)

    def _line(self, number: int) -> str:
        lines = self.program.page.read_text(encoding="utf-8").splitlines()
        return lines[number - 1].strip() if 0 < number <= len(lines) else ""

    def _described(self, error: BaseException, block: Block) -> str:
        """A traceback that names the lines of the page."""
        lines = page_lines(error.__traceback__, self.probe.sources)
        where = [f"{self.program.page}:{number}: {self._line(number)}" for number in lines or [block.line]]
        if not lines:
            where += [
                f"{frame.filename}:{frame.lineno}: {frame.line}"
                for frame in traceback.extract_tb(error.__traceback__)[-4:]
            ]
        chain = expectations.error_chain(error)
        said = [f"{type(one).__module__}.{type(one).__qualname__}: {one}" for one in chain]
        return "\n".join([*where, "\n  under it: ".join(said)]) + self.table_error


def _cut_network() -> None:
    connect = socket.socket.connect

    def local_only(self: socket.socket, address: Any) -> None:
        if self.family != socket.AF_UNIX and address[0] not in {"127.0.0.1", "::1"}:
            raise OSError("no network here")
        connect(self, address)

    socket.socket.connect = local_only  # type: ignore[assignment,method-assign]
