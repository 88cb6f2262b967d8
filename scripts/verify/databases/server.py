"""A database server that runs, whoever started it."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import make_url

from verify.pages import Database


class Unavailable(Exception):  # noqa: N818  # a state, not a fault
    """A database cannot be had.

    Attributes:
        reason: Why.
        remedy: The one line that helps.
    """

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(f"{reason}; {remedy}")
        self.reason, self.remedy = reason, remedy


@dataclass
class Server:
    """A server.

    Attributes:
        url: SQLAlchemy URL with an async driver, of the database to start from.
        version: As the server says.
        origin: Whose it is: a wheel, a path, or the environment variable that names it.
        process: The keeper that ends the server when its stdin is closed.
        folder: Holds the server's files; removed with it.
        given: It was named by the user: databases on it carry the name that the user gave.
    """

    backend: Database
    url: str
    version: str
    origin: str
    process: subprocess.Popen[bytes] | None = None
    folder: Path | None = None
    given: bool = False

    def database_url(self, name: str) -> str:
        """The URL of a database of this name. It may not exist yet: ``make_empty`` makes it."""
        url = make_url(self.url)
        if self.backend == "sqlite":
            return f"sqlite+aiosqlite:///{Path(url.database or '').parent}/{name}.db"
        name = f"{url.database}_{name}" if self.given else name
        return url.set(database=name).render_as_string(hide_password=False)

    def stop(self) -> None:
        """End the server, where it is ours. A second call does nothing."""
        if self.process:
            if self.process.stdin:
                self.process.stdin.close()
            self.process.wait()
            self.process = None
        if self.folder:
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder = None
