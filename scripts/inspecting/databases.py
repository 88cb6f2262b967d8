"""The databases that a project names: in URLs, and as images of compose files. Passwords are never kept."""

from __future__ import annotations

import re
from dataclasses import dataclass

from project_source.files import Tree

_URL = re.compile(
    r"\b(?P<scheme>(?:postgres(?:ql)?|mysql|mariadb|sqlite|cockroachdb|mssql|oracle)(?:\+\w+)?)://(?P<rest>[^\s\"'`<>,;)\]|]*)"
)
_IMAGE = re.compile(r"^\s*image:\s*[\"']?(?P<image>[^\s\"'#]+)", re.MULTILINE)
_SERVERS = ("postgres", "postgis", "timescale", "mariadb", "mysql", "pgbouncer", "redis", "valkey", "cockroach")
_READ = re.compile(r"(^|/)(\.env[^/]*|env\.example|[^/]+\.(py|ini|toml|ya?ml|cfg|conf|env))$")
_COMPOSE = re.compile(r"(^|/)(docker-)?compose[^/]*\.ya?ml$")


@dataclass(frozen=True)
class Url:
    """A URL in a file.

    Attributes:
        shown: With `***` for the password.
    """

    scheme: str
    shown: str
    path: str
    line: int


@dataclass(frozen=True)
class Databases:
    """What is named where."""

    urls: tuple[Url, ...]
    images: tuple[tuple[str, str], ...]  # image, file

    @property
    def schemes(self) -> list[str]:
        """Each scheme once, in the order of its first URL."""
        return list(dict.fromkeys(one.scheme for one in self.urls))


def look(tree: Tree) -> Databases:
    """Search the files that hold settings, and the Python files."""
    urls: list[Url] = []
    images: list[tuple[str, str]] = []
    for path in tree.files:
        if not _READ.search(path) or (data := tree.read(path)) is None:
            continue
        if b"://" in data:
            text = data.decode("utf-8", errors="replace")
            for match in _URL.finditer(text):
                shown = f"{match['scheme']}://{masked(match['rest'])}"
                urls.append(Url(match["scheme"], shown, path, text.count("\n", 0, match.start()) + 1))
        if _COMPOSE.search(path):
            found = [one["image"] for one in _IMAGE.finditer(data.decode("utf-8", errors="replace"))]
            images += [(one, path) for one in found if any(server in one for server in _SERVERS)]
    settings_first = sorted(urls, key=lambda one: (one.path.endswith(".py"), one.path.count("/"), one.path, one.line))
    return Databases(tuple(settings_first), tuple(images))


def masked(rest: str) -> str:
    """What stands behind `://`, without a password: everything between the first colon and the last @, and in the query."""
    account, at, place = rest.rpartition("@")
    if at:
        user, colon, _ = account.partition(":")
        account = f"{user}:***" if colon else user
    return (
        account
        + at
        + re.sub(r"(?i)((?:password|passwd|pwd|token|secret|sslpassword|sslkey)=)[^&#\s]+", r"\1***", place)
    )
