"""ASM019: operators of Python in the condition of a statement."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from auditing.catalogue import check
from auditing.finding import Found, at
from project_source.modules import Module, last_name
from project_source.project import Project

_METHODS = frozenset({"filter", "having", "join", "outerjoin", "where"})
_FUNCTIONS = frozenset({"sqlalchemy.and_", "sqlalchemy.or_", "sqlalchemy.not_", "sqlalchemy.exists", "sqlalchemy.case"})
_LAST = frozenset(name.rpartition(".")[2] for name in _FUNCTIONS)
_WORDS = {ast.Is: "is", ast.IsNot: "is not", ast.In: "in", ast.NotIn: "not in"}


@check("ASM019")
def operators_in_conditions(project: Project, module: Module) -> Iterator[Found]:
    """`is`, `not`, `in`, `and` and `or` with a column, inside where(), filter(), having(), a join, and_() or or_()."""
    for node in [*module.all(ast.Compare), *module.all(ast.UnaryOp), *module.all(ast.BoolOp)]:
        found = _wrong(node, project, module)
        if found and _in_condition(node, project, module):
            message, remedy = found
            yield at(module, node, message, remedy)


def _wrong(node: ast.expr, project: Project, module: Module) -> tuple[str, str] | None:
    """What is wrong with an operator that has a column as its operand."""
    if isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in _WORDS:
        word, left, right = _WORDS[type(node.ops[0])], node.left, node.comparators[0]
        if word.startswith("is"):
            if not _is_column(left, project, module) and not _is_column(right, project, module):
                return None
            wanted = f"col({ast.unparse(left)}).{'is_not' if 'not' in word else 'is_'}({ast.unparse(right)})"
        elif _is_column(left, project, module):
            wanted = f"col({ast.unparse(left)}).{'not_in' if 'not' in word else 'in_'}(...)"
        elif _is_column(right, project, module):
            wanted = f"col({ast.unparse(right)}).contains(...)"
        else:
            return None
        return f"`{word}` is evaluated by Python: the condition is a constant, and no SQL", f"write `{wanted}`"
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not) and _is_sql(node.operand, project, module):
        if _is_column(node.operand, project, module):
            return (
                "`not` is evaluated by Python: the condition is always false",
                f"write `not_({ast.unparse(node.operand)})`",
            )
        return (
            "`not` cannot be evaluated by Python: TypeError, or a constant",
            f"write `not_({ast.unparse(node.operand)})`",
        )
    if isinstance(node, ast.BoolOp) and sum(_is_sql(one, project, module) for one in node.values) >= 2:
        word = "and" if isinstance(node.op, ast.And) else "or"
        return f"`{word}` is evaluated by Python: one side is dropped, or a TypeError", f"write `{word}_(..., ...)`"
    return None


def _is_sql(node: ast.expr, project: Project, module: Module) -> bool:
    """A column, a comparison of one, or a method of one such as `like`."""
    if isinstance(node, ast.Compare):
        return any(_is_column(one, project, module) for one in (node.left, *node.comparators)) and not isinstance(
            node.ops[0], ast.Is | ast.IsNot
        )
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        return _is_column(node.func.value, project, module)
    return _is_column(node, project, module)


def _is_column(node: ast.AST, project: Project, module: Module) -> bool:
    """`Hero.age`, or `col(Hero.age)`, of a known mapped class."""
    if isinstance(node, ast.Call) and len(node.args) == 1 and isinstance(node.args[0], ast.Attribute):
        return project.called(node, module) == "sqlmodel.col" and _is_column(node.args[0], project, module)
    if not isinstance(node, ast.Attribute) or not isinstance(node.value, ast.Name | ast.Attribute):
        return False
    value = project.value_of(node.value, module)
    if value is None or value.instance:
        return False
    klass = project.class_at(node.value, module)
    if klass is None or not (klass.is_table or klass.is_declarative):
        return False
    field = klass.fields.get(node.attr)
    return bool(field and field.kind == "column")


def _in_condition(node: ast.AST, project: Project, module: Module) -> bool:
    """Whether it is an argument, or part of a condition in an argument, of a method that takes conditions."""
    above = module.parents.get(node)
    while isinstance(above, ast.BoolOp | ast.BinOp | ast.UnaryOp | ast.Starred | ast.Tuple | ast.List):
        node, above = above, module.parents.get(above)
    if not isinstance(above, ast.Call) or node is above.func:
        return False
    if isinstance(above.func, ast.Attribute) and above.func.attr in _METHODS:
        return True
    last = last_name(above.func)
    return last in _LAST and project.called(above, module) in _FUNCTIONS
