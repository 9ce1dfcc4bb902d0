"""The mistake of a login that is asked for before CORS is answered."""

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from backend_doctor.demo.shop.faults import Fault, Faults


class EarlyGuard:
    """Stands outside of the CORS layer; without the fault it does nothing."""

    def __init__(self, app: ASGIApp, faults: Faults) -> None:
        self._app = app
        self._faults = faults

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """An ASGI application around another."""
        answer: ASGIApp = self._app
        if Fault.PREFLIGHT_GUARDED in self._faults.on and _needs_token(scope):
            answer = JSONResponse({"detail": "not authenticated"}, status_code=401)
        await answer(scope, receive, send)


def _needs_token(scope: Scope) -> bool:
    if scope["type"] != "http" or not scope["path"].startswith(("/orders", "/products")):
        return False
    return b"authorization" not in dict(scope["headers"])
