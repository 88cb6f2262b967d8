"""Errors as HTTP responses. No response shows SQL, a value that came in, or a stack."""

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy.exc import SQLAlchemyError

from app.errors import Retry, ServiceError, Unavailable, translate

RETRY_AFTER = "1"  # seconds


def install_errors(app: FastAPI) -> None:
    """Add the handlers."""
    app.add_exception_handler(ServiceError, _service_error)  # type: ignore[arg-type]
    app.add_exception_handler(RequestValidationError, _validation_error)  # type: ignore[arg-type]
    for kind in (
        SQLAlchemyError,
        OSError,
        OverflowError,
        UnicodeEncodeError,
    ):  # raised by a COMMIT, or outside services
        app.add_exception_handler(kind, _database_error)


async def _service_error(_request: Request, error: ServiceError) -> JSONResponse:
    headers = {"Retry-After": RETRY_AFTER} if isinstance(error, (Retry, Unavailable)) else None
    return JSONResponse({"detail": _plain(str(error))}, status_code=error.status, headers=headers)


async def _database_error(request: Request, error: Exception) -> JSONResponse:
    translated = translate(error, "The data")
    if translated is None:
        raise error
    return await _service_error(request, translated)


async def _validation_error(_request: Request, error: RequestValidationError) -> JSONResponse:
    """FastAPI's own handler repeats the input, and fails on text that is not valid Unicode."""
    details = [
        {
            "type": one["type"],
            "loc": [part if isinstance(part, int) else _plain(str(part)) for part in one["loc"]],
            "msg": _plain(one["msg"]),
        }
        for one in error.errors()[:20]
    ]
    return JSONResponse({"detail": details}, status_code=422)


def _plain(text: str) -> str:
    return text[:200].encode(errors="replace").decode()
