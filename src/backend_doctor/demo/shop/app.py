"""The shop's HTTP face."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.responses import JSONResponse
from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import async_sessionmaker

from backend_doctor.demo.shop.backends import POOL, make_cache, make_engine
from backend_doctor.demo.shop.faults import Fault, Faults
from backend_doctor.demo.shop.orders import InvoiceError, OrderService
from backend_doctor.demo.shop.settings import Settings


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    settings = Settings.from_environment()
    engine = make_engine(settings, pool_pre_ping=True, **POOL)
    cache = make_cache(settings)
    app.state.faults = Faults()
    app.state.orders = OrderService(async_sessionmaker(engine), cache, settings, app.state.faults)
    yield
    await cache.aclose()
    await engine.dispose()


async def _orders(request: Request) -> OrderService:
    service: OrderService = request.app.state.orders
    return service


async def _faults(request: Request) -> Faults:
    faults: Faults = request.app.state.faults
    return faults


async def _unavailable(request: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"detail": type(error).__name__}, status_code=503)


Orders = Annotated[OrderService, Depends(_orders)]
TheFaults = Annotated[Faults, Depends(_faults)]

app = FastAPI(title="shop", lifespan=_lifespan)
for problem in (SQLAlchemyError, RedisError, InvoiceError, OSError):
    app.add_exception_handler(problem, _unavailable)


def _found(order: dict[str, Any] | None) -> dict[str, Any]:
    if order is None:
        raise HTTPException(404, "no such order")
    return order


@app.get("/orders/{order}")
async def get_order(order: int, orders: Orders) -> dict[str, Any]:
    """An order."""
    return _found(await orders.get(order))


@app.get("/orders/{order}/invoice")
async def get_invoice(order: int, orders: Orders) -> dict[str, Any]:
    """An order with its tax."""
    return _found(await orders.invoice(order))


@app.post("/products/{product}/sales")
async def sell(product: int, orders: Orders) -> dict[str, int]:
    """Sell one of a product."""
    return {"left": await orders.sell(product)}


@app.get("/products/{product}/popularity")
async def popularity(product: int, orders: Orders) -> dict[str, int]:
    """How often a product was ordered."""
    return {"orders": await orders.popularity(product)}


@app.get("/healthz")
async def healthz() -> dict[str, str]:
    """Whether the process answers."""
    return {"status": "ok"}


@app.put("/faults/{fault}")
async def make(fault: Fault, faults: TheFaults) -> None:
    """Make a mistake from now on."""
    faults.on.add(fault)


@app.delete("/faults/{fault}")
async def mend(fault: Fault, faults: TheFaults) -> None:
    """Stop making it."""
    await faults.mend(fault)
