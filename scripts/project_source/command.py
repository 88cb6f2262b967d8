"""The command line of the scripts: wrong calls are one line, with exit code 2."""

from __future__ import annotations

import argparse
from typing import NoReturn

USAGE = 2


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        """End with exit code 2."""
        self.exit(USAGE, f"{self.prog}: {message} (see --help)\n")
