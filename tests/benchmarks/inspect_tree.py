"""How long inspect_project.py and audit.py take on a tree of services. `python tests/benchmarks/inspect_tree.py --files 2000`

The tree is made of copies of the template under other names, in which every file matters: the worst case.
Prints the seconds of whole commands: of the clock, and of the processor where other work shares the machine.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]


def make(folder: Path, files: int) -> tuple[int, int]:
    """Copy the template until there are enough Python files.

    Returns:
        Python files and their lines.
    """
    count = lines = 0
    while count < files:
        target = folder / f"service{count}"
        shutil.copytree(ROOT / "assets" / "service", target, ignore=shutil.ignore_patterns("__pycache__", ".*", "*.db"))
        made = list(target.rglob("*.py"))
        count += len(made)
        lines += sum(len(path.read_text(encoding="utf-8").splitlines()) for path in made)
    return count, lines


def measure(script: str, folder: Path, runs: int) -> tuple[float, float]:
    """The median seconds of a run, by the clock and by the processor."""
    clock, processor = [], []
    for _ in range(runs):
        started, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
        command = [sys.executable, "-I", str(ROOT / "scripts" / script), str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        clock.append(time.perf_counter() - started)
        processor.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        if done.returncode not in {0, 1}:
            raise SystemExit(f"{script}: exit code {done.returncode}: {done.stderr}")
    return statistics.median(clock), statistics.median(processor)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        files, lines = make(Path(name), options.files)
        print(f"{files} Python files, {lines} lines")
        for script in ("inspect_project.py", "audit.py"):
            clock, processor = measure(script, Path(name), options.runs)
            print(f"{script:20} {clock:.2f} s, {processor:.2f} s of CPU time")


if __name__ == "__main__":
    main()
