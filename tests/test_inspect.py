"""inspect_project.py on projects of many kinds: what it sees, how much it says, and what it never shows."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from verify import pages

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "scripts" / "inspect_project.py"
TEXT = 2048  # bytes, for a project of 50 models
DB = """\
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlmodel.ext.asyncio.session import AsyncSession

engine = create_async_engine("sqlite+aiosqlite:///app.db")
sessions = async_sessionmaker(engine, class_=AsyncSession, expire_on_commit=False)


async def get_session():
    async with sessions() as session:
        yield session
        await session.commit()
"""
MODELS = """\
from sqlmodel import Field, Relationship, SQLModel


class Team(SQLModel, table=True):
    id: int | None = Field(default=None, primary_key=True)
    heroes: list["Hero"] = Relationship(back_populates="team")


class HeroBase(SQLModel):
    name: str


class Hero(HeroBase, table=True):
    __tablename__ = "heroes"

    id: int | None = Field(default=None, primary_key=True)
    team_id: int | None = Field(default=None, foreign_key="team.id")
    team: Team | None = Relationship(back_populates="heroes", sa_relationship_kwargs={"lazy": "raise"})


class HeroCreate(HeroBase):
    pass
"""
MAIN = """\
from typing import Annotated

from fastapi import APIRouter, Depends, FastAPI
from {package}db import get_session
from {package}models import Hero
from sqlmodel.ext.asyncio.session import AsyncSession

router = APIRouter()
SessionDep = Annotated[AsyncSession, Depends(get_session)]


@router.post("/heroes")
async def create(session: SessionDep): ...


@router.get("")
async def read(session: SessionDep): ...


app = FastAPI()
app.include_router(router)
"""
LAYOUTS = {
    "flat": {"db.py": DB, "models.py": MODELS, "main.py": MAIN.format(package="")},
    "app": {f"app/{name}": text for name, text in {"__init__.py": "", "db.py": DB, "models.py": MODELS, "main.py": MAIN.format(package="app.")}.items()},
    "relative": {f"app/{name}": text for name, text in {"__init__.py": "", "db.py": DB, "models.py": MODELS, "main.py": MAIN.format(package=".")}.items()},
    "src": {f"src/heroes/{name}": text for name, text in {"__init__.py": "", "db.py": DB, "models.py": MODELS, "main.py": MAIN.format(package="heroes.")}.items()},
    "backend": {f"backend/app/{name}": text for name, text in {"db.py": DB, "models.py": MODELS, "main.py": MAIN.format(package="app.")}.items()},
    "a file for each model": {
        "app/db.py": DB,
        "app/models/__init__.py": "from .team import *\nfrom .hero import Hero as Hero\n",
        "app/models/team.py": MODELS.partition("\n\nclass HeroBase")[0],
        "app/models/hero.py": "from typing import Optional\nfrom sqlmodel import Field, Relationship, SQLModel\nfrom app.models.team import Team\n\n\n"
        "class HeroBase" + MODELS.partition("class HeroBase")[2],
        "app/main.py": MAIN.format(package="app."),
    },
}  # fmt: skip


def run(*arguments: str | Path, at: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-I", str(SCRIPT), *map(str, arguments)],
        capture_output=True, text=True, check=False, cwd=at, stdin=subprocess.DEVNULL,
    )  # fmt: skip


def look(folder: Path) -> dict[str, Any]:
    """The JSON for a folder, checked by the schema that the script documents."""
    done = run(folder, "--json")
    assert done.stderr == ""
    data: dict[str, Any] = json.loads(done.stdout)
    jsonschema.validate(data, json.loads(run("--schema").stdout))
    return data


def write(folder: Path, files: dict[str, str]) -> Path:
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
    return folder


# ---- kinds of projects ----------------------------------------------------------------------


def test_the_template_is_seen_as_it_is() -> None:
    data = look(ROOT / "assets" / "service")
    assert data["kind"] == "async SQLModel"
    assert {one["name"] for one in data["models"]} == {
        "Hero",
        "Mission",
        "MissionHero",
        "HeroTag",
        "Tag",
        "Team",
        "User",
    }
    hero = next(one for one in data["models"] if one["name"] == "Hero")
    assert hero["foreign"] == {"team_id": "team.id"}
    assert hero["relationships"]["tags"] == "[Tag]"
    assert not hero["lazy"]
    (dependency,) = data["session_dependencies"]
    assert (dependency["scope"], dependency["commits"]) == (["function"], True)
    (factory,) = data["session_factories"]
    assert factory["session"] == "sqlmodel.ext.asyncio.session.AsyncSession"
    assert not factory["expires"]
    assert data["fastapi"]["apps"][0]["lifespan"]
    (migrations,) = data["migrations"]
    assert (
        migrations["heads"],
        migrations["is_async"],
        migrations["has_metadata"],
        migrations["imports_sqlmodel"],
    ) == (["0001"], True, True, True)
    assert data["packages"]["sqlmodel"]["declared"] == "[asyncio]>=0.0.50"
    assert data["tests"]["plugin"] == "pytest-asyncio"
    assert data["missing"] == [], "the template misses nothing"


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same_picture(layout: str, tmp_path: Path) -> None:
    data = look(write(tmp_path, LAYOUTS[layout]))
    assert data["kind"] == "async SQLModel"
    models = {one["name"]: one for one in data["models"]}
    assert set(models) == {"Team", "Hero"}
    assert models["Hero"]["table"] == "heroes"
    assert models["Hero"]["keys"] == ["id"]
    assert models["Hero"]["unindexed"] == ["team_id"]
    assert models["Team"]["relationships"] == {"heroes": "[Hero]"}
    assert models["Team"]["lazy"] == ["heroes"]
    assert [one["name"] for one in data["schemas"]] == ["HeroBase", "HeroCreate"]
    assert [(one["name"], one["scope"], one["commits"]) for one in data["session_dependencies"]] == [
        ("get_session", ["request"], True)
    ]
    assert data["fastapi"]["routes"] == 2
    assert [one["is_async"] for one in data["engines"]] == [True]
    texts = " ".join(one["what"] for one in data["missing"])
    assert "get_session commits after the response" in texts
    assert "no migrations" in texts


def test_two_apps_in_one_tree_keep_their_own_modules(tmp_path: Path) -> None:
    other = MODELS.replace("Hero", "Villain").replace("heroes", "villains")
    for app, models in (("one", MODELS), ("two", other)):
        main = MAIN.format(package="app.").replace("Hero", "Hero" if app == "one" else "Villain")
        write(tmp_path, {f"{app}/app/db.py": DB, f"{app}/app/models.py": models, f"{app}/app/main.py": main})
    data = look(tmp_path)
    assert [one["path"] for one in data["session_dependencies"]] == ["one/app/db.py", "two/app/db.py"]
    assert {one["name"] for one in data["models"]} == {"Team", "Hero", "Villain"}


def test_a_sync_project_is_called_sync(tmp_path: Path) -> None:
    text = DB.replace("async_sessionmaker", "sessionmaker").replace("create_async_engine", "create_engine")
    text = re.sub(r"async (def|with)", r"\1", text).replace("await ", "").replace("+aiosqlite", "")
    text = text.replace(
        "from sqlalchemy.ext.asyncio import sessionmaker, create_engine",
        "from sqlalchemy.orm import sessionmaker\nfrom sqlmodel import Session, create_engine",
    )
    text = text.replace("from sqlmodel.ext.asyncio.session import AsyncSession\n", "").replace(
        "AsyncSession", "Session"
    )
    main = (
        MAIN
        .format(package="")
        .replace("sqlmodel.ext.asyncio.session import AsyncSession", "sqlmodel import Session")
        .replace("AsyncSession", "Session")
    )
    data = look(write(tmp_path, {"db.py": text, "models.py": MODELS, "main.py": main}))
    assert data["kind"] == "sync SQLModel"
    assert [one["is_async"] for one in data["session_dependencies"]] == [False]
    assert any(one["what"] == "sync sessions in the routes" for one in data["missing"])


def test_plain_sqlalchemy_is_called_so(tmp_path: Path) -> None:
    models = "from sqlalchemy.orm import DeclarativeBase\n\n\nclass Base(DeclarativeBase): ...\n\n\nclass Hero(Base):\n    __tablename__ = 'hero'\n"
    write(
        tmp_path, {"db.py": DB.replace("sqlmodel.ext.asyncio.session", "sqlalchemy.ext.asyncio"), "models.py": models}
    )
    data = look(tmp_path)
    assert data["kind"] == "plain SQLAlchemy, async, without SQLModel"
    assert [one["name"] for one in data["declarative"]] == ["Hero"]
    assert "Hero (SQLAlchemy)" in run(tmp_path).stdout


def test_an_empty_folder_is_exit_code_1_and_says_how_to_begin(tmp_path: Path) -> None:
    done = run(tmp_path)
    assert done.returncode == 1
    assert "no SQLModel, SQLAlchemy or FastAPI; 0 Python files" in done.stdout
    assert "new_service.py DEST" in done.stdout


def test_a_folder_without_a_database_says_so(tmp_path: Path) -> None:
    write(tmp_path, {"main.py": "from fastapi import FastAPI\n\napp = FastAPI()\n"})
    assert look(tmp_path)["kind"] == "FastAPI without a database layer"


# ---- versions, databases, migrations, tests -------------------------------------------------


def test_versions_are_declared_locked_and_installed(tmp_path: Path) -> None:
    write(tmp_path, {
        "pyproject.toml": '[project]\nname = "x"\nrequires-python = ">=3.12"\ndependencies = ["SQLModel[asyncio] >= 0.0.50", "fastapi"]\n'
        '[dependency-groups]\ndev = ["pytest_asyncio==1.5.0"]\n',
        "uv.lock": '[[package]]\nname = "sqlmodel"\nversion = "0.0.50"\n',
        "requirements/base.txt": "alembic==1.20.1  # migrations\n-r other.txt\n",
        ".venv/pyvenv.cfg": "home = /usr\nversion = 3.12.4\n",
        ".venv/lib/python3.12/site-packages/fastapi-0.165.0.dist-info/METADATA": "",
    })  # fmt: skip
    data = look(tmp_path)
    assert data["python"] == {"requires": ">=3.12", "environment": "3.12.4"}
    assert data["packages"]["sqlmodel"] == {"declared": "[asyncio]>= 0.0.50", "locked": "0.0.50", "installed": None}
    assert data["packages"]["fastapi"] == {"declared": "", "locked": None, "installed": "0.165.0"}
    assert data["packages"]["alembic"]["declared"] == "==1.20.1"
    assert data["packages"]["pytest-asyncio"]["declared"] == "==1.5.0"


def test_poetry_is_read_too(tmp_path: Path) -> None:
    text = '[tool.poetry.dependencies]\npython = "^3.11"\nsqlmodel = {version = "^0.0.40", extras = ["asyncio"]}\n[tool.poetry.group.dev.dependencies]\npytest = "*"\n'
    data = look(
        write(tmp_path, {"pyproject.toml": text, "poetry.lock": '[[package]]\nname = "pytest"\nversion = "9.2.0"\n'})
    )
    assert data["python"]["requires"] == "^3.11"
    assert data["packages"]["sqlmodel"]["declared"] == "[asyncio]^0.0.40"
    assert data["packages"]["pytest"] == {"declared": "*", "locked": "9.2.0", "installed": None}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (".env", "DATABASE_URL=postgresql://app:hunter22@db:5432/app\n"),
        (".env", "DATABASE_URL=postgresql://app:hunter22@pass@db/app\n"),
        (".env.example", "X='mysql+asyncmy://app:hunter%4022@db/app?charset=utf8mb4'\n"),
        ("alembic.ini", "[alembic]\nsqlalchemy.url = postgresql+asyncpg://app:hunter22@db/app\n"),
        (
            "compose.yaml",
            "services:\n  x:\n    environment:\n      URL: postgresql://db/app?user=app&password=hunter22\n",
        ),
        ("app/settings.py", 'URL = "mariadb://app:hunter22@db/app"\n'),
        ("app/settings.py", 'URL = f"mariadb://{user}:hunter22@{host}/app"\n'),
    ],
)
def test_a_password_never_appears(name: str, text: str, tmp_path: Path) -> None:
    write(tmp_path, {name: text, "main.py": "import fastapi\n"})
    outputs = [run(tmp_path).stdout, run(tmp_path, "--verbose").stdout, run(tmp_path, "--json").stdout]
    for output in outputs:
        assert "hunter" not in output
        assert "***" in output
    assert len(look(tmp_path)["databases"]["urls"]) == 1


def test_servers_of_compose_files_are_named(tmp_path: Path) -> None:
    text = "services:\n  db:\n    image: postgres:18\n  cache:\n    image: 'redis:8'\n  web:\n    image: example/web\n"
    images = look(write(tmp_path, {"deploy/docker-compose.yml": text}))["databases"]["images"]
    assert [one["image"] for one in images] == ["postgres:18", "redis:8"]


def test_heads_and_missing_revisions_are_named(tmp_path: Path) -> None:
    def revision(name: str, below: str) -> str:
        return f"revision: str = {name!r}\ndown_revision: str | None = {below}\n"

    write(tmp_path, LAYOUTS["app"] | {
        "alembic.ini": "[alembic]\nscript_location = %(here)s/db/migrations\n",
        "db/migrations/env.py": "from alembic import context\ntarget_metadata = None\n",
        "db/migrations/script.py.mako": "from alembic import op\n",
        "db/migrations/versions/a.py": revision("a", "None"),
        "db/migrations/versions/b.py": revision("b", "'a'"),
        "db/migrations/versions/c.py": revision("c", "'a'"),
        "db/migrations/versions/d.py": revision("d", "('c', 'gone')"),
    })  # fmt: skip
    data = look(tmp_path)
    (one,) = data["migrations"]
    assert (one["config"], one["folder"], one["revisions"]) == ("alembic.ini", "db/migrations", 4)
    assert (one["heads"], one["missing"]) == (["b", "d"], ["gone"])
    assert (one["has_metadata"], one["imports_sqlmodel"], one["is_async"]) == (False, False, False)
    texts = [one["what"] for one in data["missing"]]
    assert "db/migrations: 2 heads" in texts
    assert "db/migrations: revision gone does not exist" in texts
    assert "db/migrations/script.py.mako does not import sqlmodel" in texts


def test_loop_scopes_are_shown(tmp_path: Path) -> None:
    write(tmp_path, LAYOUTS["flat"] | {
        "pytest.ini": "[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = session\n",
        "requirements.txt": "pytest-asyncio\n",
        "tests/test_x.py": "def test_x(): ...\n",
    })  # fmt: skip
    data = look(tmp_path)
    assert data["tests"] == {
        "files": 1, "config": "pytest.ini", "plugin": "pytest-asyncio",
        "options": {"asyncio_mode": "auto", "asyncio_default_fixture_loop_scope": "session"},
    }  # fmt: skip
    assert "pytest without asyncio_default_test_loop_scope" in [one["what"] for one in data["missing"]]


# ---- what is broken, large or strange -------------------------------------------------------


def test_broken_files_are_named_and_the_rest_is_seen(tmp_path: Path) -> None:
    write(
        tmp_path,
        LAYOUTS["app"]
        | {"app/broken.py": "from sqlmodel import (\n", "pyproject.toml": "[project\n", "poetry.lock": "[["},
    )
    (tmp_path / "app" / "latin.py").write_bytes("import sqlmodel\nx = 'é'\n".encode("latin-1"))
    (tmp_path / "app" / "nul.py").write_bytes(b"import sqlmodel\0\n")
    (tmp_path / ".env").write_bytes(b"\xff\xfeDATABASE_URL=postgresql://x:hunter22@y/z\n")
    (tmp_path / "app" / "loop").symlink_to("..")
    (tmp_path / "app" / "outside.py").symlink_to("/etc/passwd")
    data = look(tmp_path)
    assert {one["path"] for one in data["unread"]} >= {
        "app/broken.py",
        "app/latin.py",
        "app/nul.py",
        "app/outside.py",
        "pyproject.toml",
        "poetry.lock",
    }
    assert {one["name"] for one in data["models"]} == {"Team", "Hero"}
    assert "hunter" not in json.dumps(data)


def test_cycles_end(tmp_path: Path) -> None:
    write(tmp_path, {
        "a.py": "from b import x, Base\nfrom b import *\ny = x\nclass Hero(Base): ...\n",
        "b.py": "from a import y as x, Hero as Base\nfrom a import *\nz = z\nclass Base(Base): ...\nq = q()\nimport sqlmodel\n",
        "c.py": "import sqlmodel\nclass A(B): ...\nclass B(A, table=True): ...\nfor i in i: ...\nwith w() as w: ...\ndef f(s=f()): return f(f)\n",
    })  # fmt: skip
    assert look(tmp_path)["python_files"] == 3


def test_a_project_of_50_models_takes_under_2_kb(tmp_path: Path) -> None:
    template = tmp_path / "service"
    shutil.copytree(ROOT / "assets" / "service", template)
    models = "from sqlmodel import Field, SQLModel\n" + "".join(
        f"\n\nclass SomewhatLongModelName{n}(SQLModel, table=True):\n    id: int | None = Field(default=None, primary_key=True)\n"
        f"    other_id: int = Field(foreign_key='hero.id')\n\n\nclass SomewhatLongModelName{n}Create(SQLModel):\n    x: int\n"
        for n in range(50)
    )
    (template / "app" / "models" / "many.py").write_text(models)
    text = run(template).stdout
    assert "models     57: Hero, " in text
    assert len(text.encode()) < TEXT
    verbose = run(template, "--verbose").stdout
    assert (
        "SomewhatLongModelName49 table somewhatlongmodelname49, key id, other_id -> hero.id app/models/many.py:"
        in verbose
    )
    assert len(look(template)["models"]) == 57


def test_ten_thousand_files_are_looked_at(tmp_path: Path) -> None:
    write(tmp_path, LAYOUTS["app"])
    for number in range(100):
        folder = tmp_path / "lib" / f"part{number}"
        folder.mkdir(parents=True)
        for other in range(100):
            (folder / f"m{other}.py").write_text("import os\n\n\ndef f():\n    return os.getcwd()\n")
    data = look(tmp_path)
    assert data["python_files"] == 10_000 + len(LAYOUTS["app"])
    assert {one["name"] for one in data["models"]} == {"Team", "Hero"}


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["nowhere"], "nowhere is not a folder"),
        (["main.py"], "main.py is not a folder"),
        (["--xml"], "unrecognized arguments: --xml"),
    ],
)
def test_a_wrong_call_gets_one_line_and_exit_code_2(tmp_path: Path, arguments: list[str], reason: str) -> None:
    write(tmp_path, {"main.py": "x = 1\n"})
    done = run(*arguments, at=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert reason in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_every_guide_that_is_advised_exists() -> None:
    source = (ROOT / "scripts" / "inspecting" / "advice.py").read_text(encoding="utf-8")
    advised = set(re.findall(r"references/[\w-]+\.md(?:#[\w-]+)?", source))
    assert len(advised) > 8
    for one in advised:
        path, _, anchor = one.partition("#")
        headings = [pages.slug(text.replace("`", "")) for _, text, _ in pages.parse(ROOT / path).headings]
        assert not anchor or anchor in headings, one
