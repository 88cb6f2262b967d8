"""The classes of a project: table models, schemas, their fields and relationships."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from project_source.modules import Module, keyword

if TYPE_CHECKING:
    from project_source.project import Project

SQLMODEL = "sqlmodel.SQLModel"
_FIELD = "sqlmodel.Field"
_RELATIONSHIP = "sqlmodel.Relationship"
_PLAIN_BASES = frozenset({  # bases of a library that bring no column, relationship or table name
    SQLMODEL, "abc.ABC", "collections.abc.Hashable", "enum.Enum", "object", "pydantic.BaseModel", "sqlalchemy.ext.asyncio.AsyncAttrs",
    "typing.Generic", "typing.Protocol", "typing_extensions.Generic",
})  # fmt: skip
_WRAPPERS = frozenset({"Annotated", "ClassVar", "Collection", "FrozenSet", "Iterable", "List", "Mapped", "Optional", "Sequence", "Set", "Tuple", "Union", "WriteOnlyMapped", "frozenset", "list", "set", "tuple", "typing"})  # fmt: skip


@dataclass(frozen=True)
class Field:
    """An annotated name in the body of a class.

    Attributes:
        kind: "relationship" for `Relationship(...)`, "class" for a ClassVar, else "column".
        call: `Field(...)` or `Relationship(...)`, where there is one.
    """

    name: str
    node: ast.AnnAssign
    kind: Literal["column", "relationship", "class"]
    call: ast.Call | None

    def argument(self, name: str) -> ast.expr | None:
        """A keyword argument of its call."""
        return keyword(self.call, name) if self.call else None

    @property
    def many(self) -> bool:
        """Whether a relationship is annotated as a list."""
        text = re.sub(r"\b(?:typing|t|orm)\.", "", ast.unparse(self.node.annotation)).strip("'\"")
        for wrapper in ("Mapped[", "Optional[", "'", '"'):
            text = text.removeprefix(wrapper)
        return text.startswith(("list[", "List[", "set[", "Set[", "Sequence["))

    @cached_property
    def target(self) -> str:
        """The name of the class that a relationship leads to."""
        return next((name for name in reversed(self.names) if name not in _WRAPPERS), "")

    @cached_property
    def options(self) -> dict[str, ast.expr] | None:
        """The `sa_relationship_kwargs` of a relationship; None where they cannot be read."""
        value = self.argument("sa_relationship_kwargs")
        if value is None:
            return {}
        if isinstance(value, ast.Call) and isinstance(value.func, ast.Name) and value.func.id == "dict":
            if value.args or any(one.arg is None for one in value.keywords):
                return None
            return {one.arg: one.value for one in value.keywords if one.arg}
        if not isinstance(value, ast.Dict):
            return None
        named = {key.value: one for key, one in zip(value.keys, value.values, strict=True)
                 if isinstance(key, ast.Constant) and isinstance(key.value, str)}  # fmt: skip
        return named if len(named) == len(value.keys) else None

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The names in its annotation, also those in quotes: `list["Hero"]` has list and Hero."""
        found: list[str] = []
        for node in ast.walk(self.node.annotation):
            if isinstance(node, ast.Name):
                found.append(node.id)
            elif isinstance(node, ast.Attribute):
                found.append(node.attr)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                try:
                    inner = ast.parse(node.value, mode="eval")
                except SyntaxError:
                    continue
                found += [one.id for one in ast.walk(inner) if isinstance(one, ast.Name)]
        return tuple(found)


class Class:
    """A class of the project."""

    def __init__(self, node: ast.ClassDef, module: Module, project: Project) -> None:
        self.node, self.module, self._project = node, module, project

    @property
    def name(self) -> str:
        return self.node.name

    @property
    def qualified(self) -> str:
        return f"{self.module.name}.{self.node.name}"

    @property
    def base_nodes(self) -> list[ast.expr]:
        """Its bases; of `Base[T]`, `Base`."""
        return [one.value if isinstance(one, ast.Subscript) else one for one in self.node.bases]

    @cached_property
    def lineage(self) -> list[Class]:
        """It, and those of its bases that the project defines, nearest first."""
        return self._project.lineage(self.node)

    @cached_property
    def foreign_bases(self) -> set[str]:
        """The qualified names of all bases that the project does not define."""
        names = {self._project.name_of(base, one.module) for one in self.lineage for base in one.base_nodes}
        return names - {one.qualified for one in self.lineage} - {""}

    @cached_property
    def has_metaclass(self) -> bool:
        """Whether a metaclass of its own may change what its body means."""
        return any(keyword.arg == "metaclass" for one in self.lineage for keyword in one.node.keywords)

    @cached_property
    def is_complete(self) -> bool:
        """Whether all that it inherits is known: each base is a class of the project, or one that brings nothing to a table."""
        own = {one.qualified for one in self.lineage}
        return not self.has_metaclass and all(
            self._project.name_of(base, one.module) in own | _PLAIN_BASES
            for one in self.lineage
            for base in one.base_nodes
        )

    @cached_property
    def attributes(self) -> frozenset[str]:
        """All names that its body, and those of its bases, bind."""
        return frozenset(name for one in self.lineage for name in one.module.scopes[one.node].names)

    @cached_property
    def is_sqlmodel(self) -> bool:
        """Whether it inherits from SQLModel."""
        return SQLMODEL in self.foreign_bases

    @cached_property
    def is_table(self) -> bool:
        """Whether it is a table model of SQLModel."""
        return self.is_sqlmodel and any(
            one.arg == "table" and isinstance(one.value, ast.Constant) and one.value.value is True
            for one in self.node.keywords
        )

    @cached_property
    def is_declarative(self) -> bool:
        """Whether it is a mapped class of plain SQLAlchemy."""
        return not self.is_sqlmodel and any(
            isinstance(line, ast.Assign | ast.AnnAssign) and "__tablename__" in ast.unparse(line)
            for line in self.node.body
        )

    @cached_property
    def is_schema(self) -> bool:
        """Whether it is a Pydantic or SQLModel class without a table."""
        return not self.is_table and (self.is_sqlmodel or "pydantic.BaseModel" in self.foreign_bases)

    @cached_property
    def written_table_name(self) -> str:
        """The name of its table as far as the source says it; "" where it is computed, or may come from an unknown base."""
        for one in self.lineage:
            for binding in one.module.scopes[one.node].names.get("__tablename__", []):
                value = binding.node.value if isinstance(binding.node, ast.AnnAssign) else binding.node
                return str(value.value) if isinstance(value, ast.Constant) else ""
        return self.name.lower() if self.is_complete else ""

    @cached_property
    def table_name(self) -> str:
        """The name of its table: `__tablename__`, or the class's name in lower case."""
        return self.written_table_name or self.name.lower()

    @cached_property
    def own_fields(self) -> dict[str, Field]:
        """The annotated names of its own body."""
        return {
            line.target.id: self._field(line)
            for line in self.node.body
            if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name)
        }

    @cached_property
    def fields(self) -> dict[str, Field]:
        """Its annotated names, inherited ones too."""
        return {name: field for one in reversed(self.lineage) for name, field in one.own_fields.items()}

    def _field(self, line: ast.AnnAssign) -> Field:
        assert isinstance(line.target, ast.Name)
        call = line.value if isinstance(line.value, ast.Call) else None
        name = self._project.called(call, self.module) if call else ""
        outer = line.annotation.value if isinstance(line.annotation, ast.Subscript) else line.annotation
        if name == _RELATIONSHIP:
            return Field(line.target.id, line, "relationship", call)
        if self._project.name_of(outer, self.module) == "typing.ClassVar":
            return Field(line.target.id, line, "class", None)
        return Field(line.target.id, line, "column", call if name == _FIELD else None)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Class) and other.node is self.node

    def __hash__(self) -> int:
        return hash(self.node)
