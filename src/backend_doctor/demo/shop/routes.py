"""The shop's HTTP face."""

from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel

from backend_doctor.demo.shop.faults import Fault, Faults
from backend_doctor.demo.shop.services import Services
from backend_doctor.demo.shop.tokens import TokenError


class Credentials(BaseModel):
    """Body of a login."""

    name: str
    password: str


class RefreshRequest(BaseModel):
    """Body of a refresh."""

    refresh_token: str


async def _services(request: Request) -> Services:
    found: Services = request.app.state.services
    return found


async def _faults(request: Request) -> Faults:
    found: Faults = request.app.state.faults
    return found


TheServices = Annotated[Services, Depends(_services)]
TheFaults = Annotated[Faults, Depends(_faults)]
Bearer = Annotated[HTTPAuthorizationCredentials, Depends(HTTPBearer())]


async def _customer(bearer: Bearer, services: TheServices) -> str:
    return services.tokens.user_of(bearer.credentials)


private = APIRouter(dependencies=[Depends(_customer)])
public = APIRouter()


def _found(thing: dict[str, Any] | None) -> dict[str, Any]:
    if thing is None:
        raise HTTPException(404, "there is none of that number")
    return thing


@public.post("/auth/login")
async def login(credentials: Credentials, services: TheServices) -> dict[str, Any]:
    """Access and refresh token for a name and password."""
    if not await services.accounts.authenticated(credentials.name, credentials.password):
        raise TokenError("name or password is wrong")
    return asdict(await services.tokens.issue(credentials.name))


@public.post("/auth/refresh")
async def refresh(given: RefreshRequest, services: TheServices) -> dict[str, Any]:
    """New tokens for a refresh token, which works once."""
    return asdict(await services.tokens.rotate(given.refresh_token))


@public.get("/products/{product}")
async def get_product(product: int, services: TheServices) -> dict[str, Any]:
    """A product."""
    return _found(await services.catalogue.get(product))


@public.get("/products/{product}/popularity")
async def popularity(product: int, services: TheServices) -> dict[str, int]:
    """How often a product was ordered."""
    return {"orders": await services.orders.popularity(product)}


@public.get("/products/{product}/turnover")
async def turnover(product: int, services: TheServices) -> dict[str, int]:
    """What a product has earned."""
    return {"cents": await services.orders.turnover(product)}


@private.post("/products/{product}/sales")
async def sell(product: int, services: TheServices) -> dict[str, int]:
    """Sell one of a product."""
    return {"left": await services.orders.sell(product)}


@private.get("/orders/{order}")
async def get_order(order: int, services: TheServices) -> dict[str, Any]:
    """An order."""
    return _found(await services.orders.get(order))


@private.get("/orders/{order}/invoice")
async def get_invoice(order: int, services: TheServices) -> dict[str, Any]:
    """An order with its tax."""
    return _found(await services.orders.invoice(order))


@public.get("/healthz")
async def healthz(services: TheServices) -> dict[str, str]:
    """Whether the shop and its backends answer."""
    await services.ready()
    return {"status": "ok"}


@public.put("/faults/{fault}")
async def make(fault: Fault, faults: TheFaults) -> None:
    """Make a mistake from now on."""
    faults.on.add(fault)


@public.delete("/faults/{fault}")
async def mend(fault: Fault, faults: TheFaults) -> None:
    """Stop making it."""
    await faults.mend(fault)
