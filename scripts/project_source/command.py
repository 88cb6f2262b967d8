"""The command line of the scripts: wrong calls are one line with exit code 2, and a closed pipe is no traceback."""

from __future__ import annotations

import argparse
import gc
import os
import sys
from collections.abc import Callable
from typing import NoReturn

USAGE, PIPE_CLOSED, INTERRUPTED = 2, 141, 130  # the last two as a shell has them


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        """End with exit code 2."""
        self.exit(USAGE, f"{self.prog}: {message} (see --help)\n")


def run(main: Callable[[], int]) -> NoReturn:
    """Run a script to its end, and exit with its code."""
    gc.disable()  # millions of syntax nodes that live to the end: collecting them would nearly double the time
    try:
        code = main()
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = PIPE_CLOSED
    except KeyboardInterrupt:
        code = INTERRUPTED
    sys.exit(code)
