"""The tests of an entity: a file of its own, its factory, and its rows in the tables of hostile input."""

from __future__ import annotations

from collections.abc import Iterable

from service_entity.columns import Column
from service_entity.files import Entity, module
from service_entity.layout import fit
from service_entity.names import snake


def tests(entity: Entity) -> str:
    """tests/test_invoices.py."""
    names, name = entity.names, entity.names.entity
    make = f"make_{names.singular}"
    parts = [_constants(entity)]
    optional = [column for column in entity.references if column.nullable]
    if optional:
        parts.append(_PARENTS)
    parts.append(_life(make, f"{names.article}_{names.singular}"))
    if required := [column.name for column in entity.columns if not column.nullable]:
        parts.append(_null_refused(make, required))
    if nullable := [column.name for column in entity.columns if column.nullable]:
        parts.append(_null_taken(make, nullable, "{**FIRST, **await parents(client)}" if optional else "FIRST"))
    if unique := [column.name for column in entity.columns if column.field.unique]:
        parts.append(_duplicates(make, name, unique))
    if entity.references:
        parts += [_reference_to_nothing(make), _filter_by_reference(make), _loading(make, name)]
    if len(optional) < len(entity.references):
        parts.append(_deletion_refused(make, [column for column in entity.references if not column.nullable]))
    if optional:
        parts.append(_deletion_taken(make, optional))
    parts += [_wrong_values(make), _filters(make), _bounds(make)]
    models = {one.name: one.module for column in entity.references if (one := column.model)}
    sources = {
        "Any": "typing", "AsyncClient": "httpx", "AsyncSession": "sqlmodel.ext.asyncio.session",
        "InvalidRequestError": "sqlalchemy.exc", "delete": "sqlalchemy", "joinedload": "sqlalchemy.orm",
        "col": "sqlmodel", "BadReference": "app.errors", "database_errors": "app.errors",
        f"{name}Service": f"app.services.{names.plural}",
        **models, name: f"app.models.{names.singular}",
        **dict.fromkeys([*map(factory_name, models), make], "tests.factories"),
    }  # fmt: skip
    doc = f"{names.title}: what each endpoint answers, and what it answers when something is wrong."
    return module(doc, "\n\n".join(parts), sources, ["pytest"])


def factory(entity: Entity) -> str:
    """What comes into tests/factories.py."""
    make, path = f"make_{entity.names.singular}", entity.names.path
    values = []
    parents = ""
    for column in entity.columns:
        if column.nullable and not column.field.unique:
            continue
        if column.model:
            parents += (
                f'    if "{column.name}" not in data:\n'
                f'        data["{column.name}"] = (await {factory_name(column.model.name)}(client))["id"]\n'
            )
        else:
            values.append(f'"{column.name}": {column.factory}')
    head = f"async def {make}(client: AsyncClient, /, **data: Any) -> dict[str, Any]:\n"
    if any(column.field.unique and not column.model for column in entity.columns):
        parents += f'    number = next(numbers["{entity.names.singular}"])\n'
    if values:
        parents += f"    defaults: dict[str, Any] = {{{', '.join(values)}}}\n"
        call = f'    return await made(client, "{path}", **{{**defaults, **data}})\n'
    else:
        call = f'    return await made(client, "{path}", **data)\n'
    return fit(head + parents + call)


def factory_name(model: str) -> str:
    """``make_invoice_line``."""
    return f"make_{snake(model)}"


def hostile_body(entity: Entity) -> tuple[str, str]:
    """A constant for tests/test_hostile.py: its name, and its definition."""
    name = f"{entity.names.singular.upper()}_BODY"
    values = ", ".join(f'"{column.name}": {column.first}' for column in entity.columns)
    return name, fit(f"{name}: dict[str, Any] = {{{values}}}\n")


def hostile_operations(entity: Entity) -> list[str]:
    """Keys of the endpoints with a body."""
    path = entity.names.path
    return [f'("POST", "{path}")', f'("PATCH", "{path}/{{{entity.names.singular}_id}}")']


def hostile_queries(entity: Entity) -> tuple[str, str]:
    """The path of the list, and the parameters that it takes."""
    parameters = [*(name for name, _ in entity.filters), "sort", "limit", "offset", "nosuch"]
    return f'"{entity.names.path}"', "[" + ", ".join(f'"{one}"' for one in parameters) + "]"


def _constants(entity: Entity) -> str:
    """What the tests are about."""
    plain = [column for column in entity.columns if not column.model]
    wrong = [f'("{column.name}", {value})' for column in entity.columns for value in column.wrong]
    wrong += ['("nosuch", 1)', '("id", 1)']
    text = f'''PATH = "{entity.names.path}"
FIELDS = {_list(column.name for column in entity.columns)}
FIRST: dict[str, Any] = {{{", ".join(f'"{column.name}": {column.first}' for column in plain)}}}
SECOND: dict[str, Any] = {{{", ".join(f'"{column.name}": {column.second}' for column in plain)}}}
WRONG: list[tuple[str, Any]] = [{", ".join(wrong)}]
FOUND: list[tuple[dict[str, Any], list[int]]] = [{", ".join(_found(entity, plain))}]
'''
    if entity.references:
        text += f"REFERENCES: list[tuple[str, Any]] = [{', '.join(_made(column) for column in entity.references)}]\n"
    return text


def _found(entity: Entity, plain: list[Column]) -> list[str]:
    """Queries, and which of the two rows they find."""
    found = ["({}, [0, 1])"]
    for column in plain:
        equal = "[0, 1]" if column.first == column.second else "[0]"
        answers = {
            "": (column.first, equal), "in": (f"[{column.first}]", equal), "startswith": (column.first, equal),
            "icontains": (column.second.upper(), "[1]"), "ge": (column.second, "[1]"), "lt": (column.second, "[0]"),
        }  # fmt: skip
        for operator, _ in column.filters:
            value, expected = answers[operator]
            parameter = f"{column.name}__{operator}" if operator else column.name
            found.append(f'({{"{parameter}": {value}}}, {expected})')
        if column.filters and column.nullable:
            found += [f'({{"{column.name}__is_null": True}}, [])', f'({{"{column.name}__is_null": False}}, [0, 1])']
    for sort in entity.sorts:
        found += [f'({{"sort": "{sort}"}}, [0, 1])', f'({{"sort": "-{sort}"}}, [1, 0])']
    return found


_PARENTS = '''async def parents(client: AsyncClient) -> dict[str, Any]:
    """A new row for every reference."""
    return {name: (await make(client))["id"] for name, make in REFERENCES}
'''


def _life(make: str, what: str) -> str:
    return f"""async def test_{what}_can_be_made_read_changed_and_deleted(client: AsyncClient) -> None:
    row = await {make}(client, **FIRST)
    assert FIRST.items() <= row.items()
    path = f"{{PATH}}/{{row['id']}}"
    assert (await client.get(path)).json() == row
    changed = (await client.patch(path, json=SECOND)).json()
    assert changed == {{**row, **SECOND, "updated_at": changed["updated_at"]}}
    assert (await client.get(path)).json() == changed
    assert (await client.delete(path)).status_code == 204
    for response in (await client.get(path), await client.patch(path, json=SECOND), await client.delete(path)):
        assert response.status_code == 404
"""


def _null_refused(make: str, columns: list[str]) -> str:
    return f"""@pytest.mark.parametrize("name", {_list(columns)})
async def test_null_is_refused_where_a_value_must_be(client: AsyncClient, name: str) -> None:
    row = await {make}(client, **FIRST)
    path = f"{{PATH}}/{{row['id']}}"
    assert (await client.patch(path, json={{name: None}})).status_code == 422
    assert (await client.get(path)).json() == row
"""


def _null_taken(make: str, columns: list[str], values: str) -> str:
    return f"""@pytest.mark.parametrize("name", {_list(columns)})
async def test_patch_tells_absent_from_null(client: AsyncClient, name: str) -> None:
    row = await {make}(client, **{values})
    assert row[name] is not None
    path = f"{{PATH}}/{{row['id']}}"
    assert (await client.patch(path, json={{}})).json() == row
    assert (await client.patch(path, json={{name: None}})).json()[name] is None
"""


def _duplicates(make: str, name: str, columns: list[str]) -> str:
    return f'''@pytest.mark.parametrize("name", {_list(columns)})
async def test_a_duplicate_is_409(client: AsyncClient, name: str) -> None:
    first, second, third = [await {make}(client) for _ in range(3)]
    body = {{field: third[field] for field in FIELDS}}
    assert (await client.delete(f"{{PATH}}/{{third['id']}}")).status_code == 204
    created = await client.post(PATH, json={{**body, name: first[name]}})
    assert created.status_code == 409
    assert created.json() == {{"detail": "{name} already exists"}}
    changed = await client.patch(f"{{PATH}}/{{second['id']}}", json={{name: first[name]}})
    assert changed.status_code == 409
    # the failed requests left nothing behind
    assert (await client.get(PATH, params={{"sort": "id"}})).json() == {{"items": [first, second], "total": 2}}
'''


def _reference_to_nothing(make: str) -> str:
    return f"""@pytest.mark.parametrize("name", [name for name, _ in REFERENCES])
async def test_a_reference_to_nothing_is_409(client: AsyncClient, name: str) -> None:
    row = await {make}(client)
    path = f"{{PATH}}/{{row['id']}}"
    assert (await client.patch(path, json={{name: 999_999}})).status_code == 409
    assert (await client.get(path)).json() == row
    assert (await client.delete(path)).status_code == 204
    body = {{field: row[field] for field in FIELDS}}
    assert (await client.post(PATH, json={{**body, name: 999_999}})).status_code == 409
    assert (await client.get(PATH)).json()["total"] == 0
"""


def _filter_by_reference(make: str) -> str:
    return f"""@pytest.mark.parametrize(("name", "make"), REFERENCES)
async def test_a_reference_is_a_filter(client: AsyncClient, name: str, make: Any) -> None:
    parent = await make(client)
    row = await {make}(client, **{{name: parent["id"]}})
    await {make}(client)
    for query in ({{name: parent["id"]}}, {{f"{{name}}__in": [parent["id"]]}}):
        assert (await client.get(PATH, params=query)).json() == {{"items": [row], "total": 1}}
"""


def _loading(make: str, name: str) -> str:
    return f"""@pytest.mark.parametrize(("name", "make"), REFERENCES)
async def test_a_reference_is_loaded_only_where_the_query_says_so(
    client: AsyncClient, session: AsyncSession, name: str, make: Any
) -> None:
    parent = await make(client)
    row = await {make}(client, **{{name: parent["id"]}})
    service, relationship = {name}Service(session), name.removesuffix("_id")
    with pytest.raises(InvalidRequestError, match=relationship):
        getattr(await service.get(row["id"]), relationship)
    session.expunge_all()
    loaded = await service.get(row["id"], options=[joinedload(getattr({name}, relationship))])
    assert getattr(loaded, relationship).id == parent["id"]
"""


def _deletion_refused(make: str, columns: list[Column]) -> str:
    rows = ", ".join(_made(column, with_model=True) for column in columns)
    return f"""@pytest.mark.parametrize(("name", "make", "model"), [{rows}])
async def test_what_a_row_refers_to_cannot_be_deleted(
    client: AsyncClient, session: AsyncSession, name: str, make: Any, model: Any
) -> None:
    row = await {make}(client, **{{name: (await make(client))["id"]}})
    with pytest.raises(BadReference), database_errors(model.__name__):
        await session.exec(delete(model).where(col(model.id) == row[name]))
"""


def _deletion_taken(make: str, columns: list[Column]) -> str:
    rows = ", ".join(_made(column, with_model=True) for column in columns)
    return f"""@pytest.mark.parametrize(("name", "make", "model"), [{rows}])
async def test_a_row_stays_when_what_it_refers_to_is_deleted(
    client: AsyncClient, session: AsyncSession, name: str, make: Any, model: Any
) -> None:
    row = await {make}(client, **{{name: (await make(client))["id"]}})
    await session.exec(delete(model).where(col(model.id) == row[name]))
    await session.commit()
    assert (await client.get(f"{{PATH}}/{{row['id']}}")).json()[name] is None
    found = (await client.get(PATH, params={{f"{{name}}__is_null": True}})).json()
    assert [one["id"] for one in found["items"]] == [row["id"]]
"""


def _wrong_values(make: str) -> str:
    return f"""async def test_a_wrong_value_is_422(client: AsyncClient) -> None:
    row = await {make}(client)
    body = {{field: row[field] for field in FIELDS}}
    for name, value in WRONG:
        for response in (
            await client.post(PATH, json={{**body, name: value}}),
            await client.patch(f"{{PATH}}/{{row['id']}}", json={{name: value}}),
        ):
            assert response.status_code == 422, (name, str(value)[:50])
"""


def _filters(make: str) -> str:
    return f"""async def test_a_list_is_filtered_and_sorted(client: AsyncClient) -> None:
    ids = [(await {make}(client, **data))["id"] for data in (FIRST, SECOND)]
    for query, expected in FOUND:
        response = await client.get(PATH, params=query)
        assert response.status_code == 200, response.text
        assert [ids.index(one["id"]) for one in response.json()["items"]] == expected, query
"""


def _bounds(make: str) -> str:
    return f"""async def test_a_list_is_bounded(client: AsyncClient) -> None:
    rows = [await {make}(client) for _ in range(3)]
    for query in ("limit=0", "limit=201", "limit=999999999999", "offset=-1", "nosuch=1", "sort=nosuch"):
        assert (await client.get(f"{{PATH}}?{{query}}")).status_code == 422, query
    page = (await client.get(PATH, params={{"sort": "id", "limit": 2, "offset": 1}})).json()
    assert page == {{"items": rows[1:], "total": 3}}
    assert (await client.get(PATH, params={{"limit": 2}})).json()["total"] == 3
    assert (await client.get(PATH, params={{"offset": 50}})).json() == {{"items": [], "total": 3}}
"""


def _made(column: Column, *, with_model: bool = False) -> str:
    """A reference with its factory: ``("customer_id", make_customer)``."""
    assert column.model
    parts = [f'"{column.name}"', factory_name(column.model.name), *([column.model.name] if with_model else [])]
    return f"({', '.join(parts)})"


def _list(names: Iterable[str]) -> str:
    return "[" + ", ".join(f'"{name}"' for name in names) + "]"
