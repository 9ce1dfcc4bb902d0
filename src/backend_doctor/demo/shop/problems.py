"""What the shop answers when something goes wrong: readable by the browser, too."""

from aio_pika.exceptions import AMQPError
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from pymongo.errors import PyMongoError
from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

from backend_doctor.demo.shop.faults import Fault, Faults
from backend_doctor.demo.shop.orders import InvoiceError
from backend_doctor.demo.shop.tokens import TokenError

_EXPECTED = (SQLAlchemyError, RedisError, PyMongoError, AMQPError, InvoiceError, OSError)


def answer_problems(app: FastAPI, faults: Faults) -> None:
    """Registers the answers. What is not expected is answered outside of the CORS layer, as in
    every FastAPI application, and so without its headers."""

    async def unavailable(request: Request, error: Exception) -> JSONResponse:
        if Fault.ERRORS_NOT_HANDLED in faults.on:
            raise error
        return JSONResponse({"detail": _said(error)}, status_code=503)

    async def broken(request: Request, error: Exception) -> JSONResponse:
        return JSONResponse({"detail": _said(error)}, status_code=500)

    async def unauthorized(request: Request, error: Exception) -> JSONResponse:
        challenge = {"WWW-Authenticate": 'Bearer error="invalid_token"'}
        return JSONResponse({"detail": str(error)}, status_code=401, headers=challenge)

    for expected in _EXPECTED:
        app.add_exception_handler(expected, unavailable)
    app.add_exception_handler(TokenError, unauthorized)
    app.add_exception_handler(Exception, broken)


def _said(error: Exception) -> str:
    first, *_ = str(error).splitlines() or [""]
    return f"{type(error).__module__}.{type(error).__name__}: {first}"
