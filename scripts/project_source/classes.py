"""The classes of a project: table models, schemas, their fields and relationships."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from project_source.modules import Module, keyword

if TYPE_CHECKING:
    from project_source.project import Project

SQLMODEL = "sqlmodel.SQLModel"
_FIELD = "sqlmodel.Field"
_RELATIONSHIP = "sqlmodel.Relationship"


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
        text = ast.unparse(self.node.annotation).strip("'\"")
        return text.startswith(("list[", "List[", "set[", "Sequence[", "typing.List["))

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
    def table_name(self) -> str:
        """The name of its table: `__tablename__`, or the class's name in lower case."""
        for one in self.lineage:
            for line in one.node.body:
                target = line.targets[0] if isinstance(line, ast.Assign) else getattr(line, "target", None)
                value = getattr(line, "value", None)
                if isinstance(target, ast.Name) and target.id == "__tablename__" and isinstance(value, ast.Constant):
                    return str(value.value)
        return self.name.lower()

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
