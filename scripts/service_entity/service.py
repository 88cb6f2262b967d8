"""A service on disk: its files, its models and its migrations."""

from __future__ import annotations

import ast
import subprocess
from pathlib import Path

from service_entity.columns import Model
from service_entity.edit import Source
from service_entity.errors import TargetError

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


class Service:
    """A folder that new_service.py made.

    Args:
        root: The folder.

    Attributes:
        sources: The files that were read, by name.
        windows: Names of those with ``\\r\\n`` at the ends of lines.

    Raises:
        TargetError: It is not such a folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        if not root.is_dir():
            raise TargetError(f"{root} does not exist; make the service first: new_service.py {root}")
        self.sources: dict[str, Source] = {}
        self.windows: set[str] = set()
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
        if name not in self.sources:
            try:
                text = (self.root / name).read_bytes().decode()
            except OSError as error:
                raise TargetError(f"{name} cannot be read: {error.strerror}") from None
            except UnicodeDecodeError:
                raise TargetError(f"{name} is not UTF-8") from None
            if "\r\n" in text and text.count("\r\n") == text.count("\n"):
                self.windows.add(name)
                text = text.replace("\r\n", "\n")
            self.sources[name] = Source(name, text)
        return self.sources[name]

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
            name: Model(name, module, _table(node), _problem(node, classes))
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


def _problem(node: ast.ClassDef, classes: dict[str, tuple[str, ast.ClassDef]]) -> str:
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
