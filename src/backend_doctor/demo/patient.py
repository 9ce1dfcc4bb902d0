"""The patient: a web shop on PostgreSQL, MongoDB, Valkey and RabbitMQ, all of them small."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from backend_doctor.demo.administrator import Administrator
from backend_doctor.demo.customer import Customer
from backend_doctor.demo.furnishing import CUSTOMER, make_passwords
from backend_doctor.demo.load import Load
from backend_doctor.demo.paperwork import Tree, doctor_configuration, shop_settings
from backend_doctor.demo.shop.faults import Fault
from backend_doctor.demo.shop.server import ShopServer
from backend_doctor.demo.ward import Say, Ward, opened
from backend_doctor.errors import UserError


class Patient:
    """The shop's processes on their servers, with a customer and traffic."""

    def __init__(self, ward: Ward, passwords: Mapping[str, str]) -> None:
        self.ward = ward
        self.administrator = Administrator(ward.postgres, ward.redis, passwords)
        self.customer = Customer(passwords[CUSTOMER])
        self.load = Load(lambda: self.customer.headers)
        self.shops: list[ShopServer] = []
        self._passwords = passwords
        self._changes: Tree = {}

    @property
    def configuration(self) -> Path:
        """The file for `backend-doctor check --config`; it goes when the demo ends."""
        return self.shops[0].folder / "backend-doctor.yaml"

    @property
    def token_file(self) -> Path:
        """The customer's access token."""
        return self.shops[0].folder / "token.jwt"

    @property
    def pool(self) -> int:
        """Connections that one process may open to the database."""
        settings = self.shops[0].settings["database"]["postgresql"]
        return int(settings["pool_size"] + settings["max_overflow"])

    def add_process(self) -> None:
        """Start one more process of the shop and send it requests too."""
        shop = ShopServer(shop_settings(self.ward, self._passwords, self._changes))
        shop.start()
        self.shops.append(shop)
        self.load.addresses.append(shop.address)
        self._describe()

    def remove_processes(self, left: int = 0) -> None:
        """Stop the processes that were started last."""
        while len(self.shops) > left:
            self.load.addresses.pop()
            self.shops.pop().stop()
        if left:
            self._describe()

    def _describe(self) -> None:
        text = doctor_configuration(self.ward, self._passwords, self.shops, str(self.token_file))
        self.configuration.touch(mode=0o600)
        self.configuration.write_text(text)

    async def log_in(self) -> None:
        """The customer gets new tokens."""
        await self.customer.log_in(self.shops[0].address, self.token_file)

    @asynccontextmanager
    async def alive(self) -> AsyncIterator[None]:
        """Meanwhile the customer stays logged in and requests come."""
        await self.log_in()
        async with (
            self.administrator.at_the_cache(),
            self.customer.staying(),
            self.load.running(),
        ):
            yield

    async def until(
        self, what: str, reached: Callable[[], Awaitable[bool]], seconds: float = 15.0
    ) -> None:
        """Wait for a state; raises UserError with ``what`` when it does not come."""
        deadline = time.monotonic() + seconds
        while not await reached():
            if time.monotonic() > deadline:
                raise UserError(f"the demo went wrong: waited {seconds:.0f} s for {what}")
            await asyncio.sleep(0.2)

    @asynccontextmanager
    async def mistake(self, *faults: Fault) -> AsyncIterator[None]:
        """Every process of the shop makes these mistakes meanwhile."""
        await self._switch("PUT", faults)
        try:
            yield
        finally:
            await self._switch("DELETE", faults)

    async def _switch(self, method: str, faults: tuple[Fault, ...]) -> None:
        import httpx

        async with httpx.AsyncClient(trust_env=False, timeout=10) as client:
            for fault in faults:
                for shop in self.shops:
                    response = await client.request(method, f"{shop.address}/faults/{fault}")
                    response.raise_for_status()

    @asynccontextmanager
    async def deployed(self, changes: Tree) -> AsyncIterator[None]:
        """The shop runs with these changes of its settings meanwhile."""
        await self._deploy(changes)
        try:
            yield
        finally:
            await self._deploy({})

    async def _deploy(self, changes: Tree) -> None:
        self._changes = changes
        for shop in self.shops:
            shop.settings = shop_settings(self.ward, self._passwords, changes)
            await asyncio.to_thread(shop.restart)
        self._describe()
        await self.log_in()


@contextmanager
def admitted(say: Say) -> Iterator[Patient]:
    """Starts all of it in temporary folders; whatever happens, nothing of it stays behind."""
    passwords = make_passwords()
    with opened(passwords, say) as ward:
        patient = Patient(ward, passwords)
        try:
            before = time.monotonic()
            patient.add_process()
            say(f"the shop is ready ({time.monotonic() - before:.1f} s)")
            yield patient
        finally:
            patient.remove_processes()
