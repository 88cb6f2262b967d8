"""HTTP blocks: a request, an empty line, and the response that must come."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from verify import expectations
from verify.pages import Block, PageError
from verify.probe import CheckError

_REQUEST = re.compile(r"^(?P<method>GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS) (?P<target>/\S*)(?: HTTP/1\.1)?$")
_STATUS = re.compile(r"^HTTP/1\.1 (?P<status>\d{3})(?: .*)?$")
_HEADER = re.compile(r"^(?P<name>[\w-]+): *(?P<value>.*)$")


@dataclass(frozen=True)
class Exchange:
    """A request and its response.

    Attributes:
        line: Line of the request.
        answer_line: Line of the expected status.
        body: What the response contains: parsed JSON, else text; None where the page does not say.
    """

    line: int
    method: str
    target: str
    headers: dict[str, str]
    content: str
    answer_line: int
    status: int
    answer_headers: dict[str, str]
    body: Any


def parse(block: Block, path: Path) -> list[Exchange]:
    """Read a block; several exchanges follow one another.

    Raises:
        PageError: A part is missing or malformed.
    """
    lines = block.code.splitlines()
    starts = [number for number, text in enumerate(lines) if _REQUEST.match(text)]
    if not starts or any(text.strip() for text in lines[: starts[0]]):
        raise PageError(path, block.code_line, "an http block starts with a request line such as `GET /heroes`")
    return [
        _exchange(lines[start:end], block.code_line + start, path)
        for start, end in zip(starts, [*starts[1:], len(lines)], strict=True)
    ]


def _exchange(lines: list[str], line: int, path: Path) -> Exchange:
    request = _REQUEST.match(lines[0])
    split = next((number for number, text in enumerate(lines) if _STATUS.match(text)), None)
    if split is None or not request:
        raise PageError(path, line, "the request has no response: add a line such as `HTTP/1.1 200`")
    status = _STATUS.match(lines[split])
    assert status
    headers, content = _message(lines[1:split], line + 1, path)
    answer_headers, text = _message(lines[split + 1 :], line + split + 1, path)
    body: Any = None
    if text:
        try:
            body = json.loads(text)
        except ValueError:
            if text.lstrip().startswith(("{", "[")):
                raise PageError(path, line + split, "the body of the response is not valid JSON") from None
            body = text
        if isinstance(body, str) and expectations.is_anything(body):
            raise PageError(path, line + split, "`…` alone passes for any body; put a literal part beside it")
    if int(status["status"]) < 400 and content.startswith(("{", "[")):
        try:
            json.loads(content)
        except ValueError:
            raise PageError(
                path, line, "the body of the request is not valid JSON, and a success is expected"
            ) from None
    return Exchange(
        line,
        request["method"],
        request["target"],
        headers,
        content,
        line + split,
        int(status["status"]),
        answer_headers,
        body,
    )


def _message(lines: list[str], line: int, path: Path) -> tuple[dict[str, str], str]:
    headers: dict[str, str] = {}
    for number, text in enumerate(lines):
        if not text.strip():
            return headers, "\n".join(lines[number + 1 :]).strip()
        match = _HEADER.match(text)
        if not match:
            if not headers:
                return {}, "\n".join(lines[number:]).strip()
            raise PageError(path, line + number, f"{text!r} is no header; write an empty line before the body")
        headers[match["name"]] = match["value"]
    return headers, ""


async def run(exchange: Exchange, client: httpx.AsyncClient) -> int:
    """Send the request and check the response.

    Returns:
        The number of checks made.

    Raises:
        CheckError: The response is another one.
    """
    response = await client.request(
        exchange.method, exchange.target, headers=exchange.headers, content=exchange.content.encode() or None
    )
    shown = f"HTTP/1.1 {response.status_code} {response.text}"
    if response.status_code != exchange.status:
        raise CheckError(exchange.answer_line, f"HTTP/1.1 {exchange.status}", shown)
    for name, value in exchange.answer_headers.items():
        if name not in response.headers:
            raise CheckError(exchange.answer_line, f"{name}: {value}", "no such header")
        if not expectations.matches_text(value, response.headers[name]):
            raise CheckError(exchange.answer_line, f"{name}: {value}", f"{name}: {response.headers[name]}")
    if exchange.body is None:
        return 1 + len(exchange.answer_headers)
    try:
        actual: Any = response.json()
    except ValueError:
        actual = response.text.strip()
    if not expectations.contains_json(exchange.body, actual):
        expected = exchange.body if isinstance(exchange.body, str) else json.dumps(exchange.body, ensure_ascii=False)
        raise CheckError(exchange.answer_line, expected, shown)
    return 2 + len(exchange.answer_headers)
