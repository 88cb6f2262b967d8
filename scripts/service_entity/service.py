"""A service on disk: what it has, and how an entity gets into it, wholly or not at all."""

from __future__ import annotations

import ast
import hashlib
import os
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from service_entity import checks, files
from service_entity.columns import Model, column
from service_entity.edit import Source
from service_entity.errors import CallError, TargetError
from service_entity.fields import Field
from service_entity.files import Entity
from service_entity.names import EntityNames, check_identifiers

MODELS, DEPS, MAIN = "app/models/__init__.py", "app/api/deps.py", "app/main.py"
FACTORIES, HOSTILE = "tests/factories.py", "tests/test_hostile.py"
VERSIONS = "migrations/versions"
# what the generated code needs of each file
NEEDED = {
    MODELS: (),
    "app/models/base.py": (
        "MAX_INT", "JsonObject", "Moment", "Text", "Timestamps", "UTCMicroseconds", "enum_by_value", "exact_text",
        "portable_json", "storable",
    ),
    "app/services/base.py": ("Page", "ServiceBase"),
    "app/services/filters.py": ("FilterBase",),
    "app/errors.py": ("BadReference", "database_errors"),
    DEPS: ("Annotated", "Depends", "Id", "provide"),
    MAIN: (),
    FACTORIES: ("Any", "AsyncClient", "made", "numbers"),
    "tests/conftest.py": ("client", "session"),
}  # fmt: skip


@dataclass
class Change:
    """What is written.

    Attributes:
        revision: Of the migration.
        created: New files and their text.
        edited: Files that were there, and their new text.
    """

    revision: str
    created: dict[str, str] = field(default_factory=dict)
    edited: dict[str, str] = field(default_factory=dict)


class Service:
    """A folder that new_service.py made.

    Args:
        root: The folder.

    Raises:
        TargetError: It is not such a folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        if not root.is_dir():
            raise TargetError(f"{root} does not exist; make the service first: new_service.py {root}")
        self._sources: dict[str, Source] = {}
        self._windows: set[str] = set()  # files with \r\n
        for name, needed in NEEDED.items():
            if not (root / name).is_file():
                raise TargetError(f"{root} is not a service made by new_service.py: {name} is missing")
            if lost := [one for one in needed if one not in self.source(name).bound]:
                raise TargetError(f"{name} has no {lost[0]}, which the code of an entity needs; put it back")

    def source(self, name: str) -> Source:
        """A Python file of the service; the same object each time.

        Raises:
            TargetError: It cannot be read.
        """
        if name not in self._sources:
            try:
                text = (self.root / name).read_bytes().decode()
            except OSError as error:
                raise TargetError(f"{name} cannot be read: {error.strerror}") from None
            except UnicodeDecodeError:
                raise TargetError(f"{name} is not UTF-8") from None
            if "\r\n" in text:
                self._windows.add(name)
            self._sources[name] = Source(name, text.replace("\r\n", "\n"))
        return self._sources[name]

    # ---- what is there -----------------------------------------------------------------------

    def models(self) -> dict[str, Model]:
        """The table models in app/models, by name.

        Raises:
            TargetError: A module cannot be parsed.
        """
        classes: dict[str, tuple[str, ast.ClassDef]] = {}
        for path in sorted((self.root / "app" / "models").glob("*.py")):
            for node in self.source(f"app/models/{path.name}").tree.body:
                if isinstance(node, ast.ClassDef):
                    classes[node.name] = (f"app.models.{path.stem}", node)
        return {
            name: Model(name, module, _table(node), self._problem(node, classes))
            for name, (module, node) in classes.items()
            if any(one.arg == "table" and getattr(one.value, "value", False) is True for one in node.keywords)
        }

    def head(self) -> str:
        """The newest migration.

        Raises:
            TargetError: There are several, or none, or one that cannot be read.
        """
        below: dict[str, tuple[str, ...]] = {}
        for path in sorted((self.root / VERSIONS).glob("*.py")):
            name = f"{VERSIONS}/{path.name}"
            found = self._constants(name)
            revision, down = found.get("revision"), found.get("down_revision", ())
            if not isinstance(revision, str):
                raise TargetError(f"{name} has no revision = '...' that can be read")
            if revision in below:
                raise TargetError(f"{name}: the revision {revision} is there twice")
            below[revision] = (down,) if isinstance(down, str) else tuple(down or ())  # type: ignore[arg-type]
        known = {one for downs in below.values() for one in downs}
        if lost := sorted(known - below.keys()):
            raise TargetError(f"{VERSIONS}: the revision {lost[0]} is missing, on which another is built")
        heads = sorted(below.keys() - known)
        if len(heads) > 1:
            raise TargetError(f"{VERSIONS} has several heads: {', '.join(heads)}; join them with `alembic merge heads`")
        if not heads:
            raise TargetError(f"{VERSIONS} has no migration to build on")
        return heads[0]

    # ---- a new entity ------------------------------------------------------------------------

    def plan(self, names: EntityNames, fields: list[Field]) -> Change:
        """Work out every file of an entity, and write nothing.

        Raises:
            CallError: A name of the call is taken, or a reference leads nowhere.
            TargetError: The entity is there already, or the files are not as they must be.
        """
        models = self.models()
        model_file = f"app/models/{names.singular}.py"
        if names.entity in models:
            raise TargetError(f"{names.entity} is already there: {models[names.entity].module}; nothing was changed")
        entity = Entity(names, tuple(column(one, names, models) for one in fields))
        self._check_names(entity, models)
        self._check_factories(entity)
        check_identifiers(entity.identifiers)
        down = self.head()
        revision = self._next_revision(down, names)
        change = Change(revision)
        change.created = {
            model_file: files.model(entity),
            f"app/services/{names.plural}.py": files.service(entity),
            f"app/api/{names.plural}.py": files.router(entity),
            f"{VERSIONS}/{revision}_add_{names.singular}.py": files.migration(entity, revision, down),
            f"tests/test_{names.plural}.py": checks.tests(entity),
        }
        if there := [name for name in change.created if os.path.lexists(self.root / name)]:
            raise TargetError(f"{there[0]} is already there; choose another name or --plural, or remove the file")
        self._edit(entity)
        change.edited = {name: one.text for name, one in sorted(self._sources.items()) if self._is_changed(name)}
        for name, text in {**change.created, **change.edited}.items():
            try:
                compile(text, name, "exec", dont_inherit=True)
            except SyntaxError as error:
                raise TargetError(
                    f"{name}:{error.lineno} would not be valid Python: {error.msg}; choose another name"
                ) from None
        return change

    def write(self, change: Change) -> None:
        """Write a change. When anything goes wrong, the service is as it was.

        Raises:
            TargetError: A file cannot be written.
        """
        before = {name: (self.root / name).read_bytes() for name in change.edited}
        made: list[Path] = []
        done: list[str] = []
        try:
            for name, text in change.created.items():
                with (self.root / name).open("x", encoding="utf-8", newline="\n") as file:
                    made.append(self.root / name)
                    file.write(text)
            for name, text in change.edited.items():
                _replace(self.root / name, (text.replace("\n", "\r\n") if name in self._windows else text).encode())
                done.append(name)
        except BaseException as error:
            for path in made:
                path.unlink(missing_ok=True)
            for name in done:
                _replace(self.root / name, before[name])
            if isinstance(error, OSError):
                raise TargetError(f"{error.filename}: {error.strerror}; nothing was changed") from None
            raise

    def uncommitted(self, names: list[str]) -> list[str]:
        """Which of these files have changes that git does not keep; none where the service is not in git.

        Raises:
            TargetError: git cannot say.
        """
        if not any((folder / ".git").exists() for folder in (self.root.resolve(), *self.root.resolve().parents)):
            return []
        command = ["git", "--no-optional-locks", "-c", "core.fsmonitor=false", "status", "--porcelain", "-uall", "--"]
        found = []
        for name in names:
            try:
                done = subprocess.run([*command, name], cwd=self.root, capture_output=True, text=True, check=False)
            except OSError as error:
                raise TargetError(f"git cannot be run: {error.strerror}; install it, or use --allow-dirty") from None
            if done.returncode:
                reason = (done.stderr.strip().splitlines() or ["it failed"])[0]
                raise TargetError(f"git cannot say what is committed: {reason}; mend that, or use --allow-dirty")
            if done.stdout:
                found.append(name)
        return found

    # ---- parts -------------------------------------------------------------------------------

    def _is_changed(self, name: str) -> bool:
        return self._sources[name].text != (self.root / name).read_bytes().decode().replace("\r\n", "\n")

    def _edit(self, entity: Entity) -> None:
        names = entity.names
        models, deps, main = self.source(MODELS), self.source(DEPS), self.source(MAIN)
        for name in (names.entity, *(one.type for one in entity.enums)):
            models.add_import(f"app.models.{names.singular}", name)
            models.add_to_all(name)
        deps.add_import(f"app.services.{names.plural}", f"{names.entity}Service")
        deps.add_dependency(names.services, f"{names.entity}Service")
        main.add_import("app.api", names.plural)
        main.add_router(names.plural)
        self.source(FACTORIES).append(checks.factory(entity))
        if (self.root / HOSTILE).exists():
            hostile = self.source(HOSTILE)
            constant, definition = checks.hostile_body(entity)
            hostile.add_before("BODIES", definition)
            hostile.add_to_dict("BODIES", [(key, constant) for key in checks.hostile_operations(entity)])
            hostile.add_to_dict("QUERIES", [checks.hostile_queries(entity)])

    def _check_names(self, entity: Entity, models: dict[str, Model]) -> None:
        names = entity.names
        if twice := [one for one in entity.classes if entity.classes.count(one) > 1]:
            raise CallError(f"--fields: a class {twice[0]} would be there twice; rename the field")
        if same := [one.name for one in models.values() if one.table.lower() == names.table]:
            raise CallError(f"--entity {names.entity}: {same[0]} has the table {names.table}; choose another --table")
        taken: dict[str, str] = {}
        for path in sorted((self.root / "app" / "models").glob("*.py")):
            name = f"app/models/{path.name}"
            taken |= dict.fromkeys(
                (node.name for node in self.source(name).tree.body if isinstance(node, ast.ClassDef)), name
            )
        for one in entity.classes:
            if one in taken:
                raise CallError(f"--entity {names.entity}: {taken[one]} has a class {one}; choose another name")
        places = [
            (DEPS, names.services), (DEPS, f"{names.entity}Service"), (MAIN, names.plural),
            (FACTORIES, f"make_{names.singular}"),
        ]  # fmt: skip
        if (self.root / HOSTILE).exists():
            places.append((HOSTILE, checks.hostile_body(entity)[0]))
        for file, one in places:
            if one in self.source(file).bound:
                raise CallError(f"--entity {names.entity}: {file} has a name {one}; choose another name or --plural")

    def _check_factories(self, entity: Entity) -> None:
        """The tests make what a row refers to."""
        bound = self.source(FACTORIES).bound | {f"make_{entity.names.singular}"}
        for one in entity.references:
            assert one.model
            if (wanted := checks.factory_name(one.model.name)) not in bound:
                raise TargetError(
                    f"{FACTORIES} has no function {wanted}, with which the tests make what {one.field.name} refers to; "
                    "write one like those that are there"
                )

    def _next_revision(self, head: str, names: EntityNames) -> str:
        """The next number where revisions are numbers, else 12 letters as Alembic has them."""
        if head.isascii() and head.isdigit():
            return str(int(head) + 1).zfill(len(head))
        return hashlib.sha256(f"{head} {names.table}".encode()).hexdigest()[:12]

    def _constants(self, name: str) -> dict[str, object]:
        """Names that a file gives a literal value."""
        found: dict[str, object] = {}
        for node in self.source(name).tree.body:
            target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
            if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(target, ast.Name) and node.value is not None:
                try:
                    found[target.id] = ast.literal_eval(node.value)
                except (ValueError, TypeError):
                    continue
        return found

    def _problem(self, node: ast.ClassDef, classes: dict[str, tuple[str, ast.ClassDef]]) -> str:
        """Why a reference to a model is not possible."""
        keys = list(_keys(node, classes))
        if len(keys) > 1:
            return "its key has several columns"
        if not keys:
            return "its key was not found"
        name, annotation = keys[0]
        if name != "id" or annotation not in ("int", "int | None", "Optional[int]"):
            return f"its key is {name}: {annotation}, not id: int"
        return ""


def _replace(path: Path, content: bytes) -> None:
    """Write a file so that it is there as a whole, old or new."""
    path = path.resolve()
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.chmod(temporary, path.stat().st_mode & 0o7777)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _table(node: ast.ClassDef) -> str:
    for one in node.body:
        target = one.targets[0] if isinstance(one, ast.Assign) else getattr(one, "target", None)
        if isinstance(target, ast.Name) and target.id == "__tablename__":
            value = getattr(one, "value", None)
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                return value.value
    return node.name.lower()


def _keys(node: ast.ClassDef, classes: dict[str, tuple[str, ast.ClassDef]]) -> list[tuple[str, str]]:
    """Names and annotations of the fields with primary_key=True, those of base classes too."""
    found = []
    for one in node.body:
        if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name) and isinstance(one.value, ast.Call):
            for argument in one.value.keywords:
                if argument.arg == "primary_key" and getattr(argument.value, "value", False) is True:
                    found.append((one.target.id, ast.unparse(one.annotation)))
    others = {name: one for name, one in classes.items() if one[1] is not node}
    for base in node.bases:
        if isinstance(base, ast.Name) and base.id in others:
            found += _keys(others[base.id][1], others)
    return found
