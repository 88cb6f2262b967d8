"""Servers beside the three databases, for the sections that carry `lab=...`: started for one section, ended with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager

from verify.labs import galera, patroni, pgbouncer, proxy, redis, replica
from verify.labs.lab import Lab
from verify.pages import LABS

__all__ = ["Lab", "running"]

_STARTERS: Mapping[str, Callable[[str], AbstractContextManager[Lab]]] = {
    "galera": galera.running,
    "patroni": patroni.running,
    "pgbouncer": pgbouncer.running,
    "proxy": proxy.running,
    "redis": redis.running,
    "replica": replica.running,
}
assert _STARTERS.keys() == LABS.keys()


@contextmanager
def running(name: str, url: str) -> Iterator[Lab]:
    """Have the servers of a lab.

    Args:
        name: One of ``LABS``; "" for none.
        url: The section's database on the ordinary server.

    Raises:
        Unavailable: A server could not be started; the error says what installs it.
    """
    if not name:
        yield Lab(url, {})
        return
    with _STARTERS[name](url) as lab:
        yield lab
