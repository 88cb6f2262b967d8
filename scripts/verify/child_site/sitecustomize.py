"""Loaded by every Python that a section starts: notes the lines of the section's titled files that run."""

import os
import sys
import threading
from functools import cache
from types import FrameType
from typing import Any


def _install() -> None:
    files, hits = os.environ.get("VERIFY_FILES"), os.environ.get("VERIFY_HITS")
    if not files or not hits:
        return
    with open(files) as stream:
        titled = set(stream.read().splitlines())
    output = os.open(hits, os.O_WRONLY | os.O_APPEND)
    seen: set[int] = set()

    @cache
    def is_titled(filename: str) -> bool:  # asked at every call of every function
        return os.path.abspath(filename) in titled

    def line(frame: FrameType, event: str, _argument: Any) -> Any:
        number = frame.f_lineno
        if event == "line" and number not in seen:
            seen.add(number)
            os.write(output, b"%d\n" % number)
        return line

    def call(frame: FrameType, _event: str, _argument: Any) -> Any:
        return line if is_titled(frame.f_code.co_filename) else None

    threading.settrace(call)
    sys.settrace(call)


_install()
