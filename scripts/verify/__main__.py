"""`python -m verify`: the commands of a maintainer. pytest runs the pages; these look at them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from verify import contract, extract, package, pages, release, report, static, sync
from verify.pages import Page, PageError
from verify.project import PackageError

FOUND, USAGE, BROKEN = 1, 2, 3  # exit codes: something to mend, a wrong call, a page that breaks the grammar


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        0 fine, 1 something to mend, 2 wrong call, 3 a page breaks the grammar.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    command: Callable[[argparse.Namespace], int] = options.command
    try:
        return command(options)
    except PageError as error:
        print(error, file=sys.stderr)
        return BROKEN
    except PackageError as error:
        print(error, file=sys.stderr)
        return FOUND
    except OSError as error:
        print(f"{error.filename or ''}: {error.strerror or error}".lstrip(": "), file=sys.stderr)
        return USAGE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m verify", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(
        name: str, command: Callable[[argparse.Namespace], int], text: str, pages_too: bool = True
    ) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(command=command)
        if pages_too:
            sub.add_argument("pages", nargs="*", type=Path, help="markdown files; all that ship where none is named")
        return sub

    add("list", _list, "Name every block: page, line, language, what is done with it, and where.")
    add("extract", _extract, "Write build/snippets/<page>/<section>/; each folder has a main.py to run by hand.")
    add("check", _check, "Lint and type-check the snippets, with the lines of the pages.")
    sync_ = add("sync", _sync, "Generated text: quoted assets, tables of contents, INDEX.md.", pages_too=False)
    mode = sync_.add_mutually_exclusive_group(required=True)
    mode.add_argument("--check", action="store_true", help="name the stale files, exit code 1")
    mode.add_argument("--write", action="store_true", help="refresh them")
    report_ = add("report", _report, "Print what the last run verified.", pages_too=False)
    report_.add_argument("--write", action="store_true", help="put the table into the README")
    package_ = add("package", _package, "Build dist/: what users install, for every route.", pages_too=False)
    package_.add_argument("--out", type=Path, default=extract.ROOT / "dist", metavar="DIR", help="replaced as a whole")
    after = package_.add_mutually_exclusive_group()
    after.add_argument(
        "--release", action="store_true", help="note that this version is released: its content is fixed from now on"
    )
    after.add_argument("--branch", metavar="NAME", help="commit the plugin of a released version to this branch")
    return parser


def _pages(options: argparse.Namespace) -> list[Page]:
    return [pages.parse(path) for path in (options.pages or sync.shipped_pages())]


def _list(options: argparse.Namespace) -> int:
    parsed = _pages(options)
    for page in parsed:
        for block in page.blocks:
            where = ",".join(block.databases) if block.kind in {"program", "file"} else ""
            print("\t".join((extract.page_name(page.path), str(block.line), block.language, block.kind, where)))
    print(report.shares(parsed), file=sys.stderr)
    return 0


def _extract(options: argparse.Namespace) -> int:
    for page in _pages(options):
        if list(page.blocks):
            contract.check(page)
            for program in extract.extract(page):
                print(program.folder)
    return 0


def _check(options: argparse.Namespace) -> int:
    findings = []
    for page in _pages(options):
        if list(page.blocks):
            contract.check(page)
            findings += static.check(page, extract.extract(page, into=extract.ROOT / "build" / "check"))
    for finding in findings:
        print(finding)
    return FOUND if findings else 0


def _sync(options: argparse.Namespace) -> int:
    changed = sync.write() if options.write else list(sync.stale())
    for path in changed:
        print(path.relative_to(extract.ROOT))
    return FOUND if changed and options.check else 0


def _report(options: argparse.Namespace) -> int:
    try:
        last, document = report.read()
    except FileNotFoundError:
        print(f"{report.FILE} does not exist: run `python3 scripts/dev.py test` first", file=sys.stderr)
        return USAGE
    print(last.text())
    if options.write:
        try:
            report.write_readme(extract.ROOT / "README.md", last, document)
        except ValueError as error:
            print(error, file=sys.stderr)
            return USAGE
    return 0


def _package(options: argparse.Namespace) -> int:
    project = package.build(extract.ROOT, options.out)
    if options.release:
        release.record(extract.ROOT, project.version, package.digest(extract.ROOT))
    if options.branch:
        release.commit(extract.ROOT, options.out / "plugin", options.branch, project.version)
    for path in sorted(options.out.iterdir()):
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
