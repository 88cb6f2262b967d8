"""ASM026: idioms of Pydantic 1."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from auditing.catalogue import check
from auditing.finding import Found, at
from project_source.classes import Class
from project_source.modules import Module
from project_source.project import Project
from project_source.statements import method, row_of

_OF_OBJECTS = {"copy": "model_copy", "dict": "model_dump", "json": "model_dump_json"}
_OF_CLASSES = {
    "construct": "model_construct", "from_orm": "model_validate", "parse_file": "model_validate_json", "parse_obj": "model_validate",
    "parse_raw": "model_validate_json", "schema": "model_json_schema", "schema_json": "model_json_schema", "update_forward_refs": "model_rebuild",
    "validate": "model_validate",
}  # fmt: skip
_RENAMED = {
    "allow_population_by_field_name": "validate_by_name", "anystr_lower": "str_to_lower", "anystr_strip_whitespace": "str_strip_whitespace",
    "anystr_upper": "str_to_upper", "keep_untouched": "ignored_types", "max_anystr_length": "str_max_length", "min_anystr_length": "str_min_length",
    "orm_mode": "from_attributes", "schema_extra": "json_schema_extra", "validate_all": "validate_default",
}  # fmt: skip
_GONE = frozenset({
    "allow_mutation", "copy_on_model_validation", "error_msg_templates", "fields", "getter_dict", "json_dumps", "json_loads", "smart_union",
    "underscore_attrs_are_private",
})  # fmt: skip
_VALIDATORS = {"pydantic.root_validator": "model_validator", "pydantic.validator": "field_validator",
               "pydantic.class_validators.validator": "field_validator", "pydantic.class_validators.root_validator": "model_validator"}  # fmt: skip
_CONFIGS = frozenset({"pydantic.ConfigDict", "pydantic_settings.SettingsConfigDict", "sqlmodel.main.SQLModelConfig"})
_IMPORTS = {
    ("pydantic", "BaseSettings"): "from pydantic_settings import BaseSettings", ("pydantic", "PyObject"): "from pydantic import ImportString",
    ("pydantic.generics", "GenericModel"): "from pydantic import BaseModel",
    ("pydantic.error_wrappers", "ValidationError"): "from pydantic import ValidationError",
}  # fmt: skip
_BASES = frozenset({"pydantic.BaseModel", "pydantic_settings.BaseSettings", "sqlmodel.SQLModel"})


def _is_model(klass: Class | None) -> bool:
    return bool(klass and klass.foreign_bases & _BASES)


@check("ASM026")
def old_methods(project: Project, module: Module) -> Iterator[Found]:
    """`.dict()` of an object, and `from_orm` of a class."""
    for call in module.all(ast.Call):
        name = method(call)
        if (name not in _OF_OBJECTS and name not in _OF_CLASSES) or not isinstance(call.func, ast.Attribute):
            continue
        owner = call.func.value
        value = project.value_of(owner, module)
        if name in _OF_CLASSES and (value is None or value.instance):
            continue
        if name in _OF_OBJECTS and value is not None and not value.instance:
            continue
        klass = project.class_at(owner, module) if value else row_of(owner, project, module)
        if klass is None or not _is_model(klass) or name in klass.attributes:
            continue
        wanted = _OF_OBJECTS.get(name) or _OF_CLASSES[name]
        yield at(module, call, f"`{name}` of Pydantic 1 is deprecated", f"use `{wanted}`")


@check("ASM026")
def old_settings(project: Project, module: Module) -> Iterator[Found]:
    """`orm_mode` and other keys of `class Config` that are not read any more."""
    for node in module.all(ast.ClassDef):
        owner = module.parents.get(node)
        if node.name == "Config" and isinstance(owner, ast.ClassDef) and _is_model(project.class_of(owner)):
            for line in node.body:
                targets = (
                    line.targets
                    if isinstance(line, ast.Assign)
                    else [line.target]
                    if isinstance(line, ast.AnnAssign)
                    else []
                )
                for target in targets:
                    if isinstance(target, ast.Name) and (target.id in _RENAMED or target.id in _GONE):
                        yield _setting(module, line, target.id)
    for call in module.all(ast.Call):
        for word in call.keywords:
            if (word.arg in _RENAMED or word.arg in _GONE) and project.called(call, module) in _CONFIGS:
                yield _setting(module, word, word.arg)


def _setting(module: Module, node: ast.AST, name: str) -> Found:
    wanted = _RENAMED.get(name)
    return at(
        module, node, f"`{name}` is not read any more: it was {'renamed' if wanted else 'removed'} in Pydantic 2",
        f"write `model_config = ConfigDict({wanted}=...)`" if wanted else "leave it out",
    )  # fmt: skip


@check("ASM026")
def old_validators(project: Project, module: Module) -> Iterator[Found]:
    """`@validator` and `@root_validator`."""
    for function in module.all(ast.FunctionDef):
        for one in function.decorator_list:
            node = one.func if isinstance(one, ast.Call) else one
            name = project.name_of(node, module) if isinstance(node, ast.Name | ast.Attribute) else ""
            if name in _VALIDATORS:
                yield at(
                    module, one, f"`@{name.rpartition('.')[2]}` of Pydantic 1 is deprecated", f"use `@{_VALIDATORS[name]}` with `@classmethod`"
                )  # fmt: skip


@check("ASM026")
def old_imports(_: Project, module: Module) -> Iterator[Found]:
    """Names that Pydantic does not export any more."""
    for node in module.all(ast.ImportFrom):
        for alias in node.names:
            wanted = "" if node.level else _IMPORTS.get((node.module or "", alias.name), "")
            if wanted and not any(isinstance(one, ast.Try) for one in module.ancestors(node)):
                yield at(
                    module,
                    alias,
                    f"`{alias.name}` has moved: an error, or a warning, at the import",
                    f"write `{wanted}`",
                )
