"""ASM016 and ASM017: fields that cannot become a column, and arguments of Field that are ignored or evaluated once."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import lru_cache

from auditing.catalogue import check
from auditing.finding import Found, at
from project_source.classes import Class, Field
from project_source.modules import Function, Module, keyword, last_name
from project_source.project import Project

_BESIDE_COLUMN = frozenset({
    "foreign_key", "index", "nullable", "ondelete", "primary_key", "sa_column_args", "sa_column_kwargs", "sa_type", "unique",
})  # fmt: skip
_BUILTINS = frozenset({"complex", "dict", "frozenset", "list", "object", "set", "tuple", "type"})
_GENERICS = frozenset({
    "Any", "Callable", "Collection", "DefaultDict", "Deque", "Dict", "FrozenSet", "Iterable", "List", "Literal", "Mapping", "MutableMapping",
    "MutableSequence", "OrderedDict", "Sequence", "Set", "Tuple", "Type",
})  # fmt: skip
_PYDANTIC = frozenset({
    "AmqpDsn", "AnyHttpUrl", "AnyUrl", "FileUrl", "FutureDate", "FutureDatetime", "HttpUrl", "IPvAnyAddress", "IPvAnyInterface", "IPvAnyNetwork",
    "Json", "MongoDsn", "PastDate", "PastDatetime", "PostgresDsn", "RedisDsn", "SecretBytes", "SecretStr",
})  # fmt: skip
_IGNORED = {"allow_mutation": "`model_config = ConfigDict(frozen=True)`, or no setter", "const": "`Literal[...]` as the annotation of a schema",
            "regex": '`schema_extra={"pattern": ...}`', "unique_items": "`set[...]` in a schema"}  # fmt: skip
_REFUSED = frozenset({
    "allow_inf_nan", "coerce_numbers_to_str", "deprecated", "env", "example", "examples", "fail_fast", "frozen", "init", "init_var",
    "json_schema_extra", "kw_only", "pattern", "strict", "validate_default",
})  # fmt: skip
_VOLATILE = frozenset({
    "datetime.date.today", "datetime.datetime.now", "datetime.datetime.today", "datetime.datetime.utcnow", "os.urandom", "random.choice",
    "random.randint", "random.random", "secrets.token_bytes", "secrets.token_hex", "secrets.token_urlsafe", "time.time", "time.time_ns",
    "uuid.uuid1", "uuid.uuid4", "uuid.uuid6", "uuid.uuid7",
})  # fmt: skip
_VOLATILE_ENDS = frozenset(name.rpartition(".")[2] for name in _VOLATILE)
_STRINGS = frozenset({
    f"pydantic.{module}{name}" for module in ("", "types.") for name in ("StringConstraints", "constr")
})
_MODELS = frozenset({"pydantic.Field", "sqlmodel.Field"})
_COLUMNS = frozenset({"sqlalchemy.Column", "sqlalchemy.orm.mapped_column"})


def _tables(project: Project, module: Module) -> list[Class]:
    return [one for one in map(project.class_of, module.all(ast.ClassDef)) if one.is_table and not one.has_metaclass]


def _columns(klass: Class) -> Iterator[tuple[Class, Field]]:
    """The fields that become columns, with the class whose body holds each."""
    for owner in klass.lineage:
        if not owner.is_sqlmodel and owner is not klass and not owner.is_schema:
            continue
        for name, field in owner.own_fields.items():
            if (
                klass.fields.get(name) is field
                and field.kind == "column"
                and not name.startswith("_")
                and name != "model_config"
            ):
                yield owner, field


def _settled(field: Field) -> bool:
    """Whether the type of the column is given, or cannot be seen."""
    value = field.node.value
    if field.call is not None and any(one.arg in {None, "sa_type", "sa_column"} for one in field.call.keywords):
        return True
    for part in (field.node.annotation, value):
        for node in ast.walk(part) if part else ():
            if isinstance(node, ast.Call) and any(one.arg in {"sa_type", "sa_column"} for one in node.keywords):
                return True
    return False


@check("ASM016")
def fields_without_a_column(project: Project, module: Module) -> Iterator[Found]:
    """A type that no column type stands for, in a table model or in a base of one."""
    for klass in _tables(project, module):
        for owner, field in _columns(klass):
            value = field.node.value
            if _settled(field) or (isinstance(value, ast.Call) and project.called(value, owner.module) not in _MODELS):
                continue
            allowed = project.alternatives(field.node.annotation, owner.module)
            shown = ast.unparse(field.node.annotation).replace("'", '"')
            if any(_gives_a_type(one) for one in _aliased(field.node.annotation, owner.module, project)):
                continue
            if len(allowed) > 1:
                if all(_is_known(one) for one, _ in allowed):
                    yield at(
                        owner.module, field.node, f"a column has one type, and `{shown}` is several: the class fails with ValueError",
                        "choose one type, or give `sa_type=JSON`",
                    )  # fmt: skip
            elif allowed and _has_no_column(*allowed[0], project):
                table = project.class_at(allowed[0][0], allowed[0][1])
                remedy = (
                    "add `= Relationship()`"
                    if table and table.is_table
                    else "give the type of the column: `sa_type=JSON`, `sa_type=String`"
                )
                yield at(
                    owner.module, field.node, f"`{shown}` has no column type: the class fails with ValueError when it is defined", remedy
                )  # fmt: skip


def _aliased(annotation: ast.expr, module: Module, project: Project) -> Iterator[ast.AST]:
    node, _ = project.written(annotation, module)
    if node is not annotation:
        yield node
    for one in ast.walk(node):
        if isinstance(one, ast.Name):
            inner, _ = project.written(one, module)
            if inner is not one:
                yield inner


def _gives_a_type(alias: ast.AST) -> bool:
    return any(isinstance(one, ast.keyword) and one.arg in {"sa_type", "sa_column"} for one in ast.walk(alias))


def _is_known(node: ast.expr) -> bool:
    outer = node.value if isinstance(node, ast.Subscript) else node
    return isinstance(outer, ast.Name | ast.Attribute) and last_name(outer) in _BUILTINS | _GENERICS | {
        "str",
        "int",
        "float",
        "bool",
        "bytes",
        "datetime",
        "date",
        "Decimal",
        "UUID",
    }


def _has_no_column(node: ast.expr, module: Module, project: Project) -> bool:
    outer = node.value if isinstance(node, ast.Subscript) else node
    if isinstance(outer, ast.Name) and outer.id in _BUILTINS and not module.bindings(outer.id, outer):
        return True
    if not isinstance(outer, ast.Name | ast.Attribute):
        return False
    name = project.name_of(outer, module)
    origin, _, last = name.rpartition(".")
    if origin in {"typing", "typing_extensions", "collections.abc"} and last in _GENERICS:
        return True
    if origin in {"pydantic", "pydantic.networks", "pydantic.types"} and last in _PYDANTIC:
        return True
    found = project.class_at(outer, module)
    return bool(found and (found.is_table or (found.is_schema and not found.has_metaclass)))


@check("ASM016")
def columns_beside_other_arguments(project: Project, module: Module) -> Iterator[Found]:
    """`sa_column` next to an argument that would change the column."""
    for call in module.all(ast.Call):
        if (column := keyword(call, "sa_column")) is None or project.called(call, module) != "sqlmodel.Field":
            continue
        if isinstance(column, ast.Constant):
            continue
        for one in call.keywords:
            if one.arg in _BESIDE_COLUMN:
                yield at(
                    module, one, f"`{one.arg}` beside `sa_column` is a RuntimeError when the class is defined",
                    f"give `{one.arg}` to the Column, or use `sa_type` in the place of `sa_column`",
                )  # fmt: skip


@lru_cache(maxsize=2)
def _heirs(project: Project) -> dict[Class, list[Class]]:
    """The table models below each class that is no table itself."""
    found: dict[Class, list[Class]] = {}
    for table in project.tables:
        for base in table.lineage[1:]:
            if not base.is_table:
                found.setdefault(base, []).append(table)
    return found


@check("ASM016")
def bases_that_cannot_be_shared(project: Project, module: Module) -> Iterator[Found]:
    """A Column or a relationship in a base of table models."""
    for klass in map(project.class_of, module.all(ast.ClassDef)):
        if klass.is_table or klass.has_metaclass or not (heirs := _heirs(project).get(klass)):
            continue
        for name, field in klass.own_fields.items():
            sharing = [one for one in heirs if one.fields.get(name) is field and not one.has_metaclass]
            if field.kind == "relationship" and sharing and klass.is_sqlmodel:
                yield at(
                    module, field.node, f"a relationship is not inherited: `{sharing[0].name}` fails with ValueError when it is defined",
                    "move it into each table model",
                )  # fmt: skip
            column = field.argument("sa_column")
            if column is not None and isinstance(column, ast.Call) and sharing:
                several = len({one.name for one in sharing}) > 1
                if (several or _is_mixin(klass, project)) and project.called(
                    column, klass.module
                ) == "sqlalchemy.Column":
                    yield at(
                        module, field.node, "a Column belongs to one table: the second model with this base fails with ArgumentError",
                        "use `sa_type` and `sa_column_kwargs`", possible=not several,
                    )  # fmt: skip


def _is_mixin(klass: Class, project: Project) -> bool:
    """Whether a class is made for any table: no schema inherits from it, and it is not named after its only table."""
    heirs = [one for one in project.classes if klass in one.lineage[1:]]
    return all(one.is_table and one.name not in klass.name for one in heirs)


@check("ASM016")
def tables_below_tables(project: Project, module: Module) -> Iterator[Found]:
    """A table model that inherits from a table model."""
    for klass in _tables(project, module):
        parent = next((one for one in klass.lineage[1:] if one.is_table), None)
        if parent and not any("__mapper_args__" in one.attributes for one in klass.lineage):
            own = [
                name for name, field in klass.own_fields.items() if field.kind == "column" and name not in parent.fields
            ]
            lost = f"`{own[0]}` gets no column" if own else "it gets no table"
            yield at(
                module, klass.node, f"`{klass.name}` inherits from the table model `{parent.name}`: {lost}",
                "let both inherit the fields from a class without `table=True`",
            )  # fmt: skip


@check("ASM016")
def private_attributes(project: Project, module: Module) -> Iterator[Found]:
    """A private attribute of a table model, which rows that are loaded do not have."""
    for klass in _tables(project, module):
        for name, field in klass.own_fields.items():
            value = field.node.value
            if isinstance(value, ast.Call) and project.called(value, module) == "pydantic.PrivateAttr":
                yield at(
                    module, field.node, f"a row that is loaded has no `{name}`: reading it is a TypeError",
                    "use a property, or keep the value outside of the model",
                )  # fmt: skip


@check("ASM017")
def arguments_of_field(project: Project, module: Module) -> Iterator[Found]:
    """Arguments that SQLModel's Field ignores, and those that it does not have."""
    for call in module.all(ast.Call):
        for one in call.keywords:
            if one.arg in _IGNORED or one.arg in _REFUSED:
                if project.called(call, module) != "sqlmodel.Field":
                    break
                if one.arg in _IGNORED:
                    if not (isinstance(one.value, ast.Constant) and one.value.value is None):
                        yield at(
                            module, one, f"`Field({one.arg}=...)` is ignored: nothing checks it", f"use {_IGNORED[one.arg]}"
                        )  # fmt: skip
                else:
                    wanted = (
                        "`Annotated[str, StringConstraints(pattern=...)]`"
                        if one.arg == "pattern"
                        else "`schema_extra={...}`"
                    )
                    yield at(
                        module,
                        one,
                        f"SQLModel's Field has no `{one.arg}`: TypeError when the class is defined",
                        f"use {wanted}",
                    )


@check("ASM017")
def defaults_computed_once(project: Project, module: Module) -> Iterator[Found]:
    """A default that is computed when the class is defined."""
    for call in module.all(ast.Call):
        name = last_name(call.func)
        if name not in _VOLATILE_ENDS and not (isinstance(call.func, ast.Name) and _may_be_volatile(name, project)):
            continue
        place = _default(call, module, project)
        if place and _is_volatile(call, project, module):
            factory = (
                ast.unparse(call.func)
                if not call.args and not call.keywords and place is call
                else f"lambda: {ast.unparse(place)}"
            )
            yield at(
                module, place, f"`{ast.unparse(place)}` is computed once, when the class is defined: all objects share its value",
                f"pass a function: `default_factory={factory}`",
            )  # fmt: skip


@lru_cache(maxsize=2)
def _volatile_functions(project: Project) -> frozenset[str]:
    """Names of functions of the project that return a new value at each call."""
    found: set[str] = set()
    for module in project.modules.values():
        for call in module.all(ast.Call):
            name = last_name(call.func)
            if name in _VOLATILE_ENDS and project.called(call, module) in _VOLATILE:
                above = next(
                    (one for one in module.ancestors(call) if isinstance(one, ast.Return | Function | ast.Lambda)), None
                )
                function = module.parents.get(above) if isinstance(above, ast.Return) else None
                if isinstance(function, Function) and len(function.body) <= 2:
                    found.add(function.name)
    return frozenset(found)


def _may_be_volatile(name: str, project: Project) -> bool:
    return name in _volatile_functions(project)


def _is_volatile(call: ast.Call, project: Project, module: Module) -> bool:
    if project.called(call, module) in _VOLATILE:
        return True
    value = project.value_of(call.func, module)
    return bool(
        value and isinstance(value.node, Function) and value.module and not value.instance
        and any(
            isinstance(inner, ast.Call) and project.called(inner, value.module) in _VOLATILE
            for line in value.module.own(value.node, ast.Return) if line.value for inner in ast.walk(line.value)
        )
    )  # fmt: skip


def _default(call: ast.Call, module: Module, project: Project) -> ast.expr | None:
    """The whole default that a call is part of, in the body of a model; None elsewhere."""
    node: ast.AST = call
    while (above := module.parents.get(node)) is not None:
        if isinstance(above, ast.Lambda | Function | ast.ListComp | ast.GeneratorExp | ast.DictComp):
            return None
        if isinstance(above, ast.AnnAssign):
            body = module.parents.get(above)
            if above.value is not node or not isinstance(body, ast.ClassDef) or not isinstance(node, ast.expr):
                return None
            klass = project.class_of(body)
            return node if _is_model(klass) else None
        if isinstance(above, ast.Call) and node is not above.func:
            return _argument(above, node, module, project) or _continue(above, module, project)
        if isinstance(above, ast.keyword):
            outer = module.parents[above]
            assert isinstance(outer, ast.Call)
            if above.arg in {"default", "default_factory", "onupdate"}:
                name = project.called(outer, module)
                if (
                    name in _MODELS and above.arg != "onupdate" and _in_model(outer, module, project)
                ) or name in _COLUMNS:
                    return above.value
            return None
        if isinstance(above, ast.stmt):
            return None
        node = above
    return None


def _argument(outer: ast.Call, node: ast.AST, module: Module, project: Project) -> ast.expr | None:
    if (
        outer.args
        and outer.args[0] is node
        and project.called(outer, module) in _MODELS
        and _in_model(outer, module, project)
    ):
        return outer.args[0]
    return None


def _continue(outer: ast.Call, module: Module, project: Project) -> ast.expr | None:
    """`str(uuid4())`: the call around it may be the default."""
    if isinstance(outer.func, ast.Name) and outer.func.id in {"str", "int", "bytes", "abs", "hex"}:
        return _default(outer, module, project)
    return None


def _in_model(node: ast.AST, module: Module, project: Project) -> bool:
    body = module.class_of(node)
    if body is None:
        return False
    return _is_model(project.class_of(body))


def _is_model(klass: Class) -> bool:
    """Whether objects are made of a class again and again; settings are made once a process."""
    return klass.is_table or (klass.is_schema and not klass.name.endswith(("Config", "Configuration", "Settings")))


@lru_cache(maxsize=2)
def _knows_mariadb(project: Project) -> bool:
    """Whether a driver of MySQL or MariaDB is named in the project."""
    names = re.compile(r"\b(?:asyncmy|aiomysql|mariadb\+|mysql\+|pymysql|mysqlclient)", re.IGNORECASE)
    for path in project.tree.files:
        is_setting = path.endswith((".toml", ".txt", ".env", ".cfg", ".ini", ".yaml", ".yml")) or "/.env" in f"/{path}"
        if is_setting and names.search(project.tree.text(path) or ""):
            return True
    return any(names.search("\n".join(module.lines)) for module in project.modules.values())


@check("ASM017")
def types_that_lose_something(project: Project, module: Module) -> Iterator[Found]:
    """A Decimal without digits, a constrained string without a length, an enum that is stored by its names."""
    for klass in _tables(project, module):
        for owner, field in _columns(klass):
            if _settled(field):
                continue
            texts = [ast.unparse(part) for part in (field.node.annotation, field.call) if part]
            allowed = project.alternatives(field.node.annotation, owner.module)
            if len(allowed) != 1:
                continue
            node, where = allowed[0]
            name = project.name_of(node, where) if isinstance(node, ast.Name | ast.Attribute) else ""
            if name == "decimal.Decimal" and not any(
                "max_digits" in text or "decimal_places" in text for text in texts
            ):
                if project.written(field.node.annotation, owner.module)[0] is field.node.annotation:
                    yield at(
                        owner.module, field.node, "a Decimal without digits is DECIMAL(10,0) on MariaDB: 19.99 is read back as 20",
                        "give `max_digits=12, decimal_places=2`", possible=not _knows_mariadb(project),
                    )  # fmt: skip
            elif (length := _constrained(field, project, owner.module)) and not field.argument("max_length"):
                yield at(
                    owner.module, field.node, "the length of a constrained type does not reach the column, which has none",
                    f"use `str = Field(max_length={length})`",
                )  # fmt: skip
            elif (
                (found := project.class_at(node, where))
                and found.foreign_bases & {"enum.Enum", "enum.StrEnum"}
                and _differs(found)
            ):
                yield at(
                    owner.module, field.node, f"the column stores the names of `{found.name}` (`{_differs(found)}`), not its values",
                    "give `sa_type=Enum(..., values_callable=...)`, or equal names and values", possible=True,
                )  # fmt: skip


def _constrained(field: Field, project: Project, module: Module) -> str:
    """The max_length of StringConstraints or constr in an annotation."""
    for node in ast.walk(field.node.annotation):
        length = keyword(node, "max_length") if isinstance(node, ast.Call) else None
        if length is not None and isinstance(node, ast.Call) and project.called(node, module) in _STRINGS:
            return ast.unparse(length)
    return ""


def _differs(enum: Class) -> str:
    """The first member whose name is not its value."""
    for line in enum.node.body:
        if (
            (
                isinstance(line, ast.Assign)
                and isinstance(line.targets[0], ast.Name)
                and isinstance(line.value, ast.Constant)
            )
            and line.targets[0].id != line.value.value
            and not line.targets[0].id.startswith("_")
        ):
            return line.targets[0].id
    return ""
