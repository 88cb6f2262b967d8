"""Filters: a typo is an error, and user text is never a pattern."""

from typing import Any, Literal

import pytest
from pydantic import ValidationError
from sqlmodel import col
from sqlmodel.ext.asyncio.session import AsyncSession

from app.models import Hero
from app.models.hero import HeroCreate
from app.services.filters import OPERATORS, FilterBase
from app.services.heroes import HeroFilter, HeroService


@pytest.fixture
async def heroes(session: AsyncSession) -> HeroService:
    service = HeroService(session)
    for name, age in (("Ada", 10), ("100%", 20), ("a_c", 30), ("abc", None)):
        await service.create(HeroCreate(name=name, secret_name="x", age=age))
    return service


@pytest.mark.parametrize("name", ["agee", "age__gte", "nosuch__eq", "team"])
def test_an_unknown_column_or_operator_is_an_error_when_the_class_is_defined(name: str) -> None:
    with pytest.raises(TypeError, match=name):
        type(
            "Wrong", (FilterBase,), {"table": Hero, "__annotations__": {name: int}, name: None, "__module__": __name__}
        )


def test_an_unknown_parameter_is_refused() -> None:
    with pytest.raises(ValidationError):
        HeroFilter.model_validate({"age__gt": 3})


def test_a_column_that_cannot_be_sorted_by_is_refused() -> None:
    with pytest.raises(ValidationError):
        HeroFilter.model_validate({"sort": "secret_name"})


def test_a_field_that_is_not_given_says_nothing() -> None:
    assert HeroFilter().where() == []
    assert HeroFilter(age__ge=None).where() == []


CASES: list[tuple[str, Any, set[str]]] = [
    ("age", 10, {"Ada"}),
    ("age__eq", 10, {"Ada"}),
    ("age__ne", 10, {"100%", "a_c", "abc"}),
    ("age__gt", 10, {"100%", "a_c"}),
    ("age__ge", 10, {"Ada", "100%", "a_c"}),
    ("age__lt", 20, {"Ada"}),
    ("age__le", 20, {"Ada", "100%"}),
    ("age__in", [10, 30], {"Ada", "a_c"}),
    ("age__not_in", [10, 30], {"100%"}),
    ("age__between", (10, 20), {"Ada", "100%"}),
    ("age__not_between", (10, 20), {"a_c"}),
    ("age__is_null", True, {"abc"}),
    ("age__is_null", False, {"Ada", "100%", "a_c"}),
    ("name__contains", "%", {"100%"}),
    ("name__not_contains", "%", {"Ada", "a_c", "abc"}),
    ("name__icontains", "DA", {"Ada"}),
    ("name__not_icontains", "DA", {"100%", "a_c", "abc"}),
    ("name__startswith", "a_", {"a_c"}),
    ("name__not_startswith", "a_", {"Ada", "100%", "abc"}),
    ("name__endswith", "%", {"100%"}),
    ("name__not_endswith", "%", {"Ada", "a_c", "abc"}),
    ("name__like", "a_c", {"a_c", "abc"}),
    ("name__not_like", "a_c", {"Ada", "100%"}),
    ("name__ilike", "AD%", {"Ada"}),
    ("name__not_ilike", "AD%", {"100%", "a_c", "abc"}),
]


@pytest.mark.parametrize(("field", "value", "expected"), CASES)
async def test_an_operator_finds_the_right_rows(
    heroes: HeroService, field: str, value: Any, expected: set[str]
) -> None:
    column, _, operator = field.partition("__")
    condition = OPERATORS[operator or "eq"](getattr(Hero, column), value)
    assert {row.name for row in await heroes.find(condition)} == expected


def test_every_operator_is_tried() -> None:
    tried = {field.partition("__")[2] or "eq" for field, _, _ in CASES}
    assert tried | {"search"} == set(OPERATORS)


async def test_search_finds_words_on_postgresql(heroes: HeroService, session: AsyncSession) -> None:
    if session.get_bind().dialect.name != "postgresql":
        sql = str(OPERATORS["search"](col(Hero.name), "x"))
        assert "websearch_to_tsquery" in sql
        return
    assert {row.name for row in await heroes.find(OPERATORS["search"](Hero.name, "ada"))} == {"Ada"}


async def test_a_sort_names_column_and_direction(heroes: HeroService) -> None:
    ages = [
        row.age for row in await heroes.find(col(Hero.age).is_not(None), order_by=HeroFilter(sort="-age").order_by())
    ]
    assert ages == [30, 20, 10]


def test_sort_may_be_a_list() -> None:
    class Several(FilterBase):
        table = Hero
        sort: tuple[Literal["name", "-age"], ...] = ("-age", "name")

    assert [str(column) for column in Several().order_by()] == ["hero.age DESC", "hero.name ASC"]
