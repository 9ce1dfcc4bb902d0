"""Who may log in: customers with salted, slow hashes of their passwords."""

import asyncio
import hashlib
import hmac
from secrets import token_bytes

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

SALT_BYTES = 16
_FIND = text("SELECT password_hash FROM customers WHERE name = :name")


def hashed(password: str, salt: bytes | None = None) -> bytes:
    """Salt and hash of a password."""
    salt = salt or token_bytes(SALT_BYTES)
    # the cost that RFC 7914 proposes for logins
    return salt + hashlib.scrypt(password.encode(), salt=salt, n=2**14, r=8, p=1)


class Accounts:
    """The customers' logins."""

    def __init__(self, sessions: async_sessionmaker[AsyncSession]) -> None:
        self._sessions = sessions

    async def authenticated(self, name: str, password: str) -> bool:
        """Whether this is the customer's password."""
        async with self._sessions() as session:
            known = (await session.execute(_FIND, {"name": name})).scalar()
        # a name that nobody has takes as long as a wrong password
        expected: bytes = known if known is not None else bytes(SALT_BYTES)
        given = await asyncio.to_thread(hashed, password, expected[:SALT_BYTES])
        return hmac.compare_digest(given, expected)
