"""An entity that new_service.py adds: right on every database, in the template's style, or not there at all."""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlmodel import SQLModel

import new_service
from service_entity import reserved
from service_entity.edit import Source
from service_entity.names import INHERITED, USED, entity_names
from verify import databases
from verify.databases import Server
from verify.plugin import Suite

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "scripts" / "new_service.py"
ENTITIES = {  # every type, every modifier, references to the template's models, to each other and to themselves
    "Customer": "email:str(200):unique code:uuid:unique country:str(2):index rating:float:nullable:index active:bool:index"
    " born_on:date:index:nullable extra:json more:json:nullable notes:text:nullable client:int:unique path:str(9)",
    "Invoice": "number:str(20):unique total:decimal(10,2):index due_on:date customer:Customer rate:decimal(4,4):unique"
    " status:enum(draft,sent,on-hold):index seen_at:datetime:index:nullable team:Team:nullable tag:Tag:unique",
    "InvoiceLine": "invoice:Invoice buyer:Customer payer:Customer:nullable parent:InvoiceLine:nullable place:int:index"
    " hero:Hero:nullable mission:Mission:nullable user:User:nullable paid_at:datetime:unique day:date:unique",
}
PLURALS = ("customers", "invoices", "invoice_lines")


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the script with the standard library alone."""
    command = [sys.executable, "-I", "-S", str(SCRIPT), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)


def add(service: Path, entity: str, fields: str, *more: str) -> subprocess.CompletedProcess[str]:
    done = run(service, "--entity", entity, "--fields", fields, *more)
    assert done.returncode == 0, done.stderr
    return done


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def tool(service: Path, *command: str) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, "-m", *command]
    return subprocess.run(program, cwd=service, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A service as it was made. Tests that change it take a copy."""
    folder = tmp_path_factory.mktemp("plain") / "shop"
    assert run(folder).returncode == 0
    return folder


@pytest.fixture
def service(plain: Path, tmp_path: Path) -> Path:
    """A service of its own for one test."""
    return shutil.copytree(plain, tmp_path / "shop")


@pytest.fixture(scope="module")
def shop(plain: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A service with the entities."""
    folder = shutil.copytree(plain, tmp_path_factory.mktemp("full") / "shop")
    for entity, fields in ENTITIES.items():
        add(folder, entity, fields)
    return folder


# ---- on three databases ----------------------------------------------------------------------

ALEMBIC = """
import sys
from alembic.config import main
for step in sys.argv[1:]:
    main(argv=step.split(), prog="alembic")
"""


def try_service(
    shop: Path, server: Server
) -> tuple[subprocess.CompletedProcess[str], subprocess.CompletedProcess[str]]:
    """The service's tests, as far as an entity touches them (test_template.py runs the others), and its migrations."""
    url = server.database_url("entity_test")
    asyncio.run(databases.make_empty(url))
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("TEST_", "DATABASE_", "PYTEST_"))}
    environment = {**kept, "TEST_DATABASE_URL": url, "DATABASE_URL": url, "PYTHONDONTWRITEBYTECODE": "1"}
    own = [f"tests/test_{plural}.py" for plural in PLURALS]
    others = [f"tests/test_{name}.py" for name in ("migrations", "hostile")]
    chosen = ["-k", "not test_hostile or every_endpoint or invoices or (any_field and customers)"]
    tests = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *own, *others, *chosen]
    steps = ["upgrade head", "check", "downgrade -1", "upgrade head", "check", "downgrade 0001", "upgrade head"]
    options: dict[str, Any] = {"cwd": shop, "env": environment, "capture_output": True, "text": True, "check": False}
    tested = subprocess.run(tests, **options)
    asyncio.run(databases.make_empty(url))
    migrated = subprocess.run([sys.executable, "-c", ALEMBIC, *steps], **options)
    databases.drop_database(server, "entity_test")
    return tested, migrated


@pytest.fixture(scope="module")
def tried(shop: Path, suite: Suite) -> Iterator[dict[str, Future[Any]]]:
    """All databases at the same time."""
    with ThreadPoolExecutor() as pool:
        yield {name: pool.submit(try_service, shop, suite.server(name)) for name in suite.available()}


def test_the_service_passes_its_own_tests(server: Server, tried: dict[str, Future[Any]]) -> None:
    done, _ = tried[server.backend].result()
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    assert re.fullmatch(
        r"\d{3,} passed, \d+ deselected in .*", done.stdout.splitlines()[-1]
    )  # none skipped, no warning


def test_the_migrations_go_up_and_down_and_leave_no_difference(server: Server, tried: dict[str, Future[Any]]) -> None:
    _, done = tried[server.backend].result()
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    assert done.stdout.count("No new upgrade operations detected.") == 2


@pytest.mark.parametrize(
    "command", ["ruff check --no-cache .", "ruff format --no-cache --check .", "mypy --cache-dir=.mypy"]
)
def test_the_service_is_clean_by_its_own_settings(shop: Path, command: str) -> None:
    done = tool(shop, *command.split())
    assert done.returncode == 0, done.stdout + done.stderr


def test_lines_of_any_length_are_as_ruff_would_have_them(service: Path) -> None:
    chance = random.Random(1)
    kinds = ["str(20)", "text", "int", "float", "decimal(15,6)", "bool", "date", "datetime", "uuid", "json", "enum(a,b)",
             "enum(" + ",".join(f"value{number}-{'x' * 20}" for number in range(9)) + ")", "Team", "User", "Hero"]  # fmt: skip
    for number, length in enumerate([3, 15, 24, 30] * 3):
        entity = "".join(chance.choices("abcdefg", k=length)).capitalize()
        fields = []
        for place in range(chance.choice([1, 4, 12])):
            kind = chance.choice(kinds)
            can_be_indexed = kind[0].islower() and kind not in ("text", "json")
            modifiers = [one for one in (":nullable", ":index" if can_be_indexed else "") if chance.random() < 0.5]
            name = "".join(chance.choices("abcdefg", k=chance.choice([2, 12, 25])))
            fields.append(f"{name}_{place}:{kind}{''.join(modifiers)}")
        assert (
            new_service.main([str(service), "--entity", entity, "--fields", " ".join(fields), "--table", f"t{number}x"])
            == 0
        )
    for command in ("ruff check --no-cache .", "ruff format --no-cache --check ."):
        done = tool(service, *command.split())
        assert done.returncode == 0, done.stdout + done.stderr


# ---- what is said ----------------------------------------------------------------------------


def test_what_was_done_is_said(service: Path) -> None:
    done = add(service, "Person", "name:str(50):unique friend:Person:nullable", "--table", "human")
    assert "table human, migration 0002, endpoints under /people" in done.stdout
    assert len(done.stdout.splitlines()) == 2
    assert '__tablename__ = "human"' in (service / "app" / "models" / "person.py").read_text()


def test_json_names_every_file(service: Path) -> None:
    before = content(service)
    done = json.loads(add(service, "Invoice", "number:str(20):unique status:enum(a,b)", "--json").stdout)
    after = content(service)
    assert (done["entity"], done["table"], done["revision"]) == ("Invoice", "invoice", "0002")
    assert set(done["created"]) == after.keys() - before.keys()
    assert set(done["edited"]) == {name for name in before if before[name] != after[name]}


def test_a_second_time_says_already_there_and_changes_nothing(service: Path) -> None:
    add(service, "Invoice", "number:str(20):unique")
    before = content(service)
    done = run(service, "--entity", "Invoice", "--fields", "number:str(20):unique")
    assert done.returncode == 3
    assert "already there" in done.stderr
    assert content(service) == before


GOOD = "number:str(20):unique"
CALLS: list[tuple[str, str, str]] = [
    # entity, fields, part of the message
    ("invoice", GOOD, "CamelCase"),
    ("Invoice_Line", GOOD, "CamelCase"),
    ("HTTPLog", GOOD, "CamelCase"),
    ("Invöice", GOOD, "CamelCase"),
    ("", GOOD, "CamelCase"),
    ("../Evil", GOOD, "CamelCase"),
    ("X" + "x" * 30, GOOD, "at most 30"),
    ("Class", GOOD, "keyword of Python"),
    ("Order", GOOD, "reserved word of PostgreSQL and MariaDB and SQLite"),
    ("Offset", GOOD, "reserved word of PostgreSQL and MariaDB"),
    ("Transaction", GOOD, "reserved word of SQLite"),
    ("Exception", GOOD, "for something else"),
    ("Field", GOOD, "for something else"),
    ("TestResult", GOOD, "pytest"),
    ("SqliteThing", GOOD, "of its own"),
    ("Software", GOOD, "--plural"),
    ("Setting", GOOD, "app/main.py has a name settings"),
    ("Account", GOOD, "User has the table account"),
    ("HeroStatus", GOOD, "app/models/hero.py has a class HeroStatus"),
    ("Filter", GOOD, "app/services/filters.py is already there"),
    ("Error", GOOD, "app/api/errors.py is already there"),
    ("Base", GOOD, "app/models/base.py is already there"),
    ("Hero", GOOD, "Hero is already there"),
    ("Invoice", "", "empty"),
    ("Invoice", "number", "name:type"),
    ("Invoice", "number:", "name:type"),
    ("Invoice", ":str(20)", "name in lower case"),
    ("Invoice", "number:str(20", "bracket"),
    ("Invoice", "number:str((20))", "bracket"),
    ("Invoice", "number:strr(20)", "no type 'strr'"),
    ("Invoice", "number:varchar", "no type 'varchar'"),
    ("Invoice", "number:str", "str(LENGTH)"),
    ("Invoice", "number:str(x)", "str(LENGTH)"),
    ("Invoice", "number:str(-1)", "str(LENGTH)"),
    ("Invoice", "number:str(0)", "1 to 1000"),
    ("Invoice", "number:str(1001)", "longer ones are text"),
    ("Invoice", "number:str(501):index", "1 to 500"),
    ("Invoice", "number:str(1):unique", "ten rows"),
    ("Invoice", "total:decimal", "decimal(DIGITS,PLACES)"),
    ("Invoice", "total:decimal(10)", "decimal(DIGITS,PLACES)"),
    ("Invoice", "total:decimal(16,2)", "1 to 15 digits"),
    ("Invoice", "total:decimal(2,3)", "no more than digits"),
    ("Invoice", "total:decimal(12,7)", "0 to 6 places"),
    ("Invoice", "total:int(4)", "nothing in brackets"),
    ("Invoice", "status:enum", "enum(draft,sent,paid)"),
    ("Invoice", "status:enum()", "like draft or on_hold"),
    ("Invoice", "status:enum(Draft)", "like draft or on_hold"),
    ("Invoice", "status:enum(a b)", "like draft or on_hold"),
    ("Invoice", "status:enum(on-hold,on_hold)", "twice"),
    ("Invoice", "number:str(20):uniqe", "no modifier 'uniqe'"),
    ("Invoice", "number:str(20):", "no modifier ''"),
    ("Invoice", "number:str(20):unique:unique", "twice"),
    ("Invoice", "number:str(20):unique:index", "leave index out"),
    ("Invoice", "note:text:index", "no plain index on text"),
    ("Invoice", "extra:json:unique", "no plain index on json"),
    ("Invoice", "paid:bool:unique", "leave unique out"),
    ("Invoice", "status:enum(a,b):unique", "leave unique out"),
    ("Invoice", "team:Team:index", "leave index out"),
    ("Invoice", "customer:Customer", "no table model Customer; there are Hero, Mission, Tag, Team, User"),
    ("Invoice", "status:HeroStatus", "no table model HeroStatus"),
    ("Invoice", "link:HeroTag", "several columns"),
    ("Invoice", "parent:Invoice", "must be nullable"),
    ("Invoice", "parent:Invoice:nullable:unique", "not unique"),
    ("Invoice", "a:int a:int", "a would be there twice"),
    ("Invoice", "team:Team team_id:int", "team_id would be there twice"),
    ("Invoice", "team:Team team:User", "would be there twice"),
    ("Invoice", "base:enum(a,b)", "class InvoiceBase would be there twice"),
    ("Invoice", "Number:int", "name in lower case"),
    ("Invoice", "a__ge:int", "name in lower case"),
    ("Invoice", "_a:int", "name in lower case"),
    ("Invoice", "größe:int", "name in lower case"),
    ("Invoice", "a;b:int", "name in lower case"),
    ("Invoice", "class:int", "keyword of Python"),
    ("Invoice", "lambda:int", "keyword of Python"),
    ("Invoice", "group:int", "reserved word of PostgreSQL and MariaDB and SQLite"),
    ("Invoice", "xmin:int", "reserved word of PostgreSQL"),
    ("Invoice", "metadata:json", "attribute of SQLModel"),
    ("Invoice", "registry:int", "attribute of SQLModel"),
    ("Invoice", "model_config:json", "attribute of SQLModel"),
    ("Invoice", "copy:int", "attribute of SQLModel"),
    ("Invoice", "json:json", "attribute of SQLModel"),
    ("Invoice", "dict:json", "attribute of SQLModel"),
    ("Invoice", "type:str(20)", "function of Python"),
    ("Invoice", "id:int", "belongs to the template"),
    ("Invoice", "created_at:datetime", "belongs to the template"),
    ("Invoice", "version:int", "belongs to the template"),
    ("Invoice", "sort:int", "used by the generated code"),
    ("Invoice", "date:date", "used by the generated code"),
    ("Invoice", "a" * 31 + ":int", "at most 30"),
    ("Invoice", " ".join(f"a{number}:int" for number in range(61)), "at most 60"),
    ("Invoice", " ".join(f"a{number}:str(1000)" for number in range(16)), "MariaDB"),
    ("X" + "y" * 29, "f" + "g" * 29 + ":int:index", "shorten"),
]  # fmt: skip


@pytest.mark.parametrize(("entity", "fields", "message"), CALLS)
def test_a_bad_call_says_why_and_changes_nothing(
    plain: Path, capsys: pytest.CaptureFixture[str], entity: str, fields: str, message: str
) -> None:
    before = content(plain)
    try:
        code = new_service.main([str(plain), f"--entity={entity}", f"--fields={fields}"])
    except SystemExit as stop:
        code = int(str(stop.code))
    said = capsys.readouterr()
    assert code in (2, 3)
    assert message in said.err
    assert said.out == ""
    assert len(said.err.splitlines()) == 1
    assert content(plain) == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--entity", "Invoice"], "--entity needs --fields"),
        (["--fields", GOOD], "--fields needs --entity"),
        (["--plural", "invoices"], "--plural needs --entity"),
        (["--allow-dirty"], "--allow-dirty needs --entity"),
        (["--entity", "Invoice", "--fields", GOOD, "--name", "x"], "--name makes a new service"),
        (["--entity", "Invoice", "--fields", GOOD, "--database", "sqlite"], "--database makes a new service"),
        (["--entity", "Invoice", "--fields", GOOD, "--plural", "Invoices"], "lower case"),
        (["--entity", "Invoice", "--fields", GOOD, "--plural", "invoice"], "differ from the singular"),
        (["--entity", "Invoice", "--fields", GOOD, "--plural", "data"], "choose another --plural"),
        (["--entity", "Invoice", "--fields", GOOD, "--plural", "heroes"], "has a name Heroes"),
        (["--entity", "Invoice", "--fields", GOOD, "--table", "order"], "reserved word"),
        (["--entity", "Invoice", "--fields", GOOD, "--table", "hero"], "Hero has the table hero"),
        (["--entity", "Invoice", "--fields", GOOD, "--table", "a b"], "lower case"),
    ],
)
def test_options_that_do_not_fit_are_refused(plain: Path, options: list[str], message: str) -> None:
    before = content(plain)
    done = run(plain, *options)
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert content(plain) == before


def test_every_refused_name_of_a_field_is_one_of_the_libraries() -> None:
    public = {name for name in dir(SQLModel) if not name.startswith(("_", "model_"))}
    assert public | {"registry"} == INHERITED  # a table model has it too


def test_an_entity_cannot_have_a_name_that_its_own_files_use(shop: Path) -> None:
    theirs = re.compile("|".join([*ENTITIES, "Team", "Tag", "Hero", "Mission", "User"]))
    used: set[str] = set()
    for name in ("models/invoice_line", "models/invoice", "models/customer", *(f"services/{one}" for one in PLURALS),
                 *(f"api/{one}" for one in PLURALS)):  # fmt: skip
        used |= Source(name, (shop / "app" / f"{name}.py").read_text()).bound
    for plural in PLURALS:
        used |= Source(plural, (shop / "tests" / f"test_{plural}.py").read_text()).bound
    classes = {name for name in used if name[0].isupper() and not name.isupper() and not theirs.match(name)}
    assert classes == USED


@pytest.mark.parametrize(
    ("entity", "plural"),
    [
        ("Invoice", "invoices"), ("Category", "categories"), ("Day", "days"), ("Address", "addresses"), ("Box", "boxes"),
        ("Branch", "branches"), ("Dish", "dishes"), ("Analysis", "analyses"), ("Status", "statuses"), ("Quiz", "quizzes"),
        ("Person", "people"), ("Child", "children"), ("Knife", "knives"), ("Photo", "photos"), ("Potato", "potatoes"),
        ("SalesPerson", "sales_people"), ("OrderLine", "order_lines"), ("Ipv4Address", "ipv4_addresses"),
    ],
)  # fmt: skip
def test_plurals_are_english(entity: str, plural: str) -> None:
    assert entity_names(entity).plural == plural


def test_a_reserved_word_is_a_table_with_another_name(service: Path) -> None:
    add(service, "Order", "group:Team user:User", "--table", "purchase")
    assert 'op.create_table(\n        "purchase",' in (service / "migrations/versions/0002_add_order.py").read_text()


# ---- the target ------------------------------------------------------------------------------


def refused(service: Path, message: str, *more: str) -> None:
    before = content(service)
    done = run(service, "--entity", "Invoice", "--fields", f"{GOOD} team:Team", *more)
    assert done.returncode == 3, done.stderr
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert content(service) == before


def test_a_folder_that_is_not_there_is_to_be_made_first(tmp_path: Path) -> None:
    refused(tmp_path / "nothing", "make the service first")
    assert os.listdir(tmp_path) == []


def test_a_folder_that_is_no_service_is_refused(tmp_path: Path) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "main.py").write_text("app = None\n")
    refused(tmp_path, "not a service made by new_service.py: app/models/__init__.py is missing")


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("app/models/hero.py", "class Hero(", "class Hero)(", "app/models/hero.py:51 is not valid Python"),
        ("app/main.py", "def create_app", "deff create_app", "app/main.py:14 is not valid Python"),
        ("app/main.py", "include_router", "mount", "call of app.include_router()"),
        ("app/models/base.py", "def exact_text", "def exact", "no exact_text"),
        ("app/models/__init__.py", "__all__", "__every__", "list __all__"),
        ("app/api/deps.py", "def provide", "def supply", "no provide"),
        ("tests/test_hostile.py", "\nBODIES:", "\nBODY:", "table BODIES"),
        ("tests/test_hostile.py", "\nQUERIES:", "\nQUERY:", "table QUERIES"),
        ("tests/factories.py", "def make_team", "def new_team", "no function make_team"),
        ("migrations/versions/0001_first_tables.py", "revision: str = ", "revision: str = 2 or ", "has no revision"),
        ("migrations/versions/0001_first_tables.py", "None = None\nbranch", "None = '0000'\nbranch", "0000 is missing"),
    ],
)
def test_a_file_that_is_not_as_it_must_be_is_named(service: Path, name: str, old: str, new: str, message: str) -> None:
    text = (service / name).read_text()
    assert old in text
    (service / name).write_text(text.replace(old, new))
    refused(service, message)


def test_a_file_that_is_not_utf8_is_named(service: Path) -> None:
    (service / "app" / "main.py").write_bytes(b"# \xff\n")
    refused(service, "app/main.py is not UTF-8")


def test_two_heads_are_refused(service: Path) -> None:
    first = service / "migrations" / "versions" / "0001_first_tables.py"
    for revision in ("aaaa", "bbbb"):
        text = (
            first
            .read_text()
            .replace('= "0001"', f'= "{revision}"')
            .replace("str | None = None\nb", "str | None = '0001'\nb")
        )
        (first.parent / f"{revision}_more.py").write_text(text)
    refused(service, "several heads: aaaa, bbbb")
    merge = (
        first.read_text().replace('= "0001"', '= "cccc"').replace("str | None = None\nb", "tuple = ('aaaa', 'bbbb')\nb")
    )
    (first.parent / "cccc_merge.py").write_text(merge)
    add(service, "Invoice", GOOD)
    (made,) = first.parent.glob("*_add_invoice.py")
    assert 'down_revision: str | None = "cccc"' in made.read_text()
    assert re.fullmatch(r"[0-9a-f]{12}_add_invoice.py", made.name)


def git(service: Path, *arguments: str) -> None:
    who = ["-c", "user.name=x", "-c", "user.email=x@example.com", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", *who, *arguments], cwd=service, check=True, capture_output=True)


def test_changes_that_are_not_committed_are_kept_safe(service: Path) -> None:
    git(service, "init", "-q")
    refused(
        service, "app/api/deps.py, app/main.py, app/models/__init__.py, tests/factories.py, tests/test_hostile.py: not"
    )
    git(service, "add", "-A")
    git(service, "commit", "-qm", "x")
    for name in ("app/main.py", "README.md"):  # the second is none of the files that are edited
        (service / name).write_text((service / name).read_text() + "\n# mine\n")
    refused(service, "app/main.py: not committed")
    add(service, "Invoice", GOOD, "--allow-dirty")
    text = (service / "app" / "main.py").read_text()
    assert text.endswith("# mine\n")
    assert "invoices" in text


def test_a_committed_service_takes_an_entity(service: Path) -> None:
    git(service, "init", "-q")
    git(service, "add", "-A")
    git(service, "commit", "-qm", "x")
    add(service, "Invoice", GOOD)


def test_git_that_cannot_answer_is_no_leave(service: Path) -> None:
    (service / ".git").write_text("gitdir: /nowhere\n")
    refused(service, "git cannot say what is committed")


@pytest.mark.parametrize("number", range(5))
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_failed_write_leaves_everything_as_it_was(
    service: Path, monkeypatch: pytest.MonkeyPatch, number: int, error: BaseException
) -> None:
    before, done, real = content(service), [0], os.replace

    def replace(source: Any, target: Any) -> None:
        done[0] += 1
        if done[0] == number + 1:
            raise error
        real(source, target)

    monkeypatch.setattr(os, "replace", replace)
    arguments = [str(service), "--entity", "Invoice", "--fields", GOOD]
    if isinstance(error, OSError):
        assert new_service.main(arguments) == 3
    else:
        with pytest.raises(KeyboardInterrupt):
            new_service.main(arguments)
    assert done[0] > number
    assert content(service) == before


def test_the_mode_of_an_edited_file_stays(service: Path) -> None:
    (service / "app" / "main.py").chmod(0o640)
    add(service, "Invoice", GOOD)
    assert (service / "app" / "main.py").stat().st_mode & 0o777 == 0o640


# ---- edits of files that the user changed ----------------------------------------------------


def test_a_service_without_the_template_s_entities_takes_one(service: Path) -> None:
    for name in ("hero", "mission", "tag", "team", "user"):
        (service / "app" / "models" / f"{name}.py").unlink()
    (service / "app" / "models" / "__init__.py").write_text('"""All tables."""\n\n__all__: list[str] = []\n')
    deps = (service / "app" / "api" / "deps.py").read_text()
    deps = re.sub(r"(?m)^(\w+ = Annotated.*provide.*|from app.services.(?!base).*)\n", "", deps)
    (service / "app" / "api" / "deps.py").write_text(deps)
    main = (service / "app" / "main.py").read_text()
    main = re.sub(r"for module in .*:", "for module in (health,):", main).replace(
        "health, heroes, missions, tags, teams, users", "health"
    )
    (service / "app" / "main.py").write_text(main)
    (service / "tests" / "test_hostile.py").unlink()
    tool(service, "ruff", "format", "--no-cache", "app")
    add(service, "Invoice", "number:str(20):unique status:enum(a,b)")
    assert not (service / "tests" / "test_hostile.py").exists()
    models = (service / "app" / "models" / "__init__.py").read_text()
    assert models.endswith(
        'from app.models.invoice import Invoice, InvoiceStatus\n\n__all__: list[str] = ["Invoice", "InvoiceStatus"]\n'
    )
    done = tool(service, "ruff", "check", "--no-cache", "app")
    assert done.returncode == 0, done.stdout
    done = tool(service, "ruff", "format", "--no-cache", "--check", "app")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "for module in (health, invoices):" in (service / "app" / "main.py").read_text()


def test_windows_line_ends_stay(service: Path) -> None:
    path = service / "app" / "main.py"
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    add(service, "Invoice", GOOD)
    text = path.read_bytes()
    assert b"invoices" in text
    assert text.count(b"\n") == text.count(b"\r\n")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("__all__ = []\n", '__all__ = ["Beta"]\n'),
        ('__all__ = ["Alpha", "Gamma"]\n', '__all__ = ["Alpha", "Beta", "Gamma"]\n'),
        ('__all__ = ["Gamma", "Alpha"]\n', '__all__ = ["Gamma", "Alpha", "Beta"]\n'),  # not sorted: at the end
        ('__all__ = ["Beta"]\n', '__all__ = ["Beta"]\n'),
        ('__all__ = ("Alpha",)  # é\n', '__all__ = ("Alpha", "Beta")  # é\n'),
        (
            '__all__ = [\n    "Alpha",  # first\n    # of Gauß\n    "Gamma",\n]\n',
            '__all__ = [\n    "Alpha",  # first\n    "Beta",\n    # of Gauß\n    "Gamma",\n]\n',
        ),
        ('__all__ = [\n    "Alpha"  # first\n]\n', '__all__ = [\n    "Alpha",  # first\n    "Beta",\n]\n'),
        (
            '__all__ = [\n    "Alpha", "Gamma",\n]  # fmt: skip\n',
            '__all__ = [\n    "Alpha", "Beta", "Gamma",\n]  # fmt: skip\n',
        ),
        ("__all__ = [\n    # none yet\n]\n", '__all__ = [\n    "Beta",\n    # none yet\n]\n'),
    ],
)
def test_a_name_is_entered_in_all(before: str, after: str) -> None:
    source = Source("x.py", before)
    source.add_to_all("Beta")
    assert source.text == after


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", "from app.b import Beta\n"),
        ('"""Doc."""\n', '"""Doc."""\n\nfrom app.b import Beta\n'),
        ("import os\n", "import os\n\nfrom app.b import Beta\n"),
        ("from app.a import A\nfrom app.c import C\n", "from app.a import A\nfrom app.b import Beta\nfrom app.c import C\n"),
        ("from app.a import A\n# why\nfrom app.c import C\n", "from app.a import A\nfrom app.b import Beta\n# why\nfrom app.c import C\n"),
        ("from app.b import Alpha, Gamma  # noqa\n", "from app.b import Alpha, Beta, Gamma  # noqa\n"),
        ("from app.b import (\n    ALL,\n    Gamma,\n    alpha,\n)\n", "from app.b import (\n    ALL,\n    Beta,\n    Gamma,\n    alpha,\n)\n"),
        ("from app.b import Beta\n", "from app.b import Beta\n"),
        ("from app.b import x as y\n", "from app.b import x as y\nfrom app.b import Beta\n"),
    ],
)  # fmt: skip
def test_an_import_comes_where_ruff_would_have_it(before: str, after: str) -> None:
    source = Source("x.py", before)
    source.add_import("app.b", "Beta")
    assert source.text == after


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (
            "for m in (a, b):\n    app.include_router(m.router)\n",
            "for m in (a, b, new):\n    app.include_router(m.router)\n",
        ),
        (
            "for m in a, b:\n    app.include_router(m.router)\n",
            "for m in a, b, new:\n    app.include_router(m.router)\n",
        ),
        (
            "def f():\n    app.include_router(a.router)\n    api.include_router(\n        b.router,\n    )\n    return app\n",
            "def f():\n    app.include_router(a.router)\n    api.include_router(\n        b.router,\n    )\n"
            "    api.include_router(new.router)\n    return app\n",
        ),
    ],
)
def test_a_router_is_included_as_the_others_are(before: str, after: str) -> None:
    source = Source("x.py", before)
    source.add_router("new")
    assert source.text == after


# ---- reserved words --------------------------------------------------------------------------


def test_no_word_that_a_database_reserves_is_missing(server: Server) -> None:
    asyncio.run(compare_words(server))


async def compare_words(server: Server) -> None:
    url = server.database_url("words_test")
    await databases.make_empty(url)
    engine = create_async_engine(url, isolation_level="AUTOCOMMIT")
    mine = reserved.WORDS[{"postgresql": "PostgreSQL", "mariadb": "MariaDB", "sqlite": "SQLite"}[server.backend]]
    every = set().union(*reserved.WORDS.values())
    async with engine.connect() as connection:
        candidates = every | await keywords(connection, server.backend)
        fine = sorted(candidates - mine)
        assert len(fine) > 100
        columns = ", ".join(f"{word} INTEGER" for word in fine)
        await connection.execute(text(f"CREATE TABLE word ({columns})"))  # an error names the word that is missing
        harmless = [word for word in sorted(mine) if not await is_refused(connection, word)]
    await engine.dispose()
    assert len(harmless) < 10, harmless  # versions differ by a few


async def keywords(connection: AsyncConnection, backend: str) -> set[str]:
    """What the server itself lists, reserved or not."""
    queries = {
        "postgresql": "SELECT word FROM pg_get_keywords()",
        "mariadb": "SELECT LOWER(word) FROM information_schema.keywords WHERE word REGEXP '^[A-Za-z_]+$'",
    }
    if backend not in queries:
        return set()
    return set((await connection.execute(text(queries[backend]))).scalars())


async def is_refused(connection: AsyncConnection, word: str) -> bool:
    for table, column in (("probe", word), (word, "a")):
        try:
            await connection.execute(text(f"CREATE TABLE {table} ({column} INTEGER)"))
        except DBAPIError:
            return True
        await connection.execute(text(f"DROP TABLE {table}"))
    return False
