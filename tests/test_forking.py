"""Children of the fork server: their exit codes, whoever waits for them."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor

from verify import forking


def test_exit_codes_are_right_when_many_threads_wait() -> None:
    def ended_with(code: int) -> int | None:
        return forking.exit_code(forking.start(os._exit, code))

    wanted = [number % 7 for number in range(300)]
    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(ended_with, wanted)) == wanted


def test_a_child_that_runs_longer_has_no_exit_code() -> None:
    process = forking.start(time.sleep, 60)
    try:
        assert forking.exit_code(process, 0.05) is None
    finally:
        process.kill()
    assert forking.exit_code(process) == -9
