"""The application: settings, layers and routes put together."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware

from backend_doctor.demo.shop.faults import Faults
from backend_doctor.demo.shop.guard import EarlyGuard
from backend_doctor.demo.shop.problems import answer_problems
from backend_doctor.demo.shop.routes import private, public
from backend_doctor.demo.shop.services import services
from backend_doctor.demo.shop.settings import APPLICATION, Settings


def create_app() -> FastAPI:
    """The shop, as its environment and settings file describe it."""
    settings, faults = Settings.from_environment(), Faults()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with services(settings, faults) as app.state.services:
            yield

    app = FastAPI(title=APPLICATION, lifespan=lifespan)
    app.state.faults = faults
    # the layer added last is the outermost
    app.add_middleware(CORSMiddleware, **settings.cors)
    app.add_middleware(EarlyGuard, faults=faults)
    answer_problems(app, faults)
    app.include_router(public)
    app.include_router(private)
    return app
