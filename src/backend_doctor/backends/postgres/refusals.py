"""What a server's refusals mean, by SQLSTATE."""

import re
from typing import Self

from backend_doctor.endpoint import Endpoint
from backend_doctor.facts import AbsenceKind, Absent

LOCKED = "55P03"
BLIND_CODES = {
    "42501": "the role may not read it",
    "42P01": "this server does not have it",
    "42703": "this server's version does not have it",
    "42883": "this server's version does not have it",
    LOCKED: "it is locked by another session",
    "57014": "it took longer than our statement_timeout of 2 s",
}
PASSING_CODES = (LOCKED, "57014")
POOLER_REFUSES = re.compile(r"authentication failed|no such user|no password supplied|auth failed")
"""A refused login in PgBouncer's words; it has one SQLSTATE, 08P01, for all that it refuses."""
# the routine that raises the error; a pooler passes none on
_LIMITED = {"InitializeSessionUserId": "role", "CheckMyDatabase": "database"}


def said_in_english(error: Exception, endpoint: Endpoint) -> str:
    """The server's message, which lc_messages may have put into another language: where a limit
    of the role's or the database's own refused the login, in PostgreSQL's English words."""
    at_limit = getattr(error, "sqlstate", None) == "53300"
    kind = _LIMITED.get(getattr(error, "server_source_function", None) or "")
    name = endpoint.user if kind == "role" else endpoint.database
    return f'too many connections for {kind} "{name}"' if at_limit and kind and name else str(error)


class NoPlanError(Absent):
    """The server's answer where it makes no plan: ``code`` (SQLSTATE), ``message``, which may
    quote a value, and ``position``, a character of the text from 1 on, or None."""

    def __init__(self, code: str, message: str, position: int | None = None) -> None:
        kind = AbsenceKind.BLIND if code == "42501" else AbsenceKind.FAILED
        if code == "42501":
            reason = f"{BLIND_CODES[code]} ({message})"
        elif code in PASSING_CODES:
            reason = f"{BLIND_CODES[code]} ({code})"
        else:
            # messages outside of class 42 can quote a value
            said = f"{code} {message}" if code.startswith("42") else f"error {code}"
            reason = f"the server could not plan it ({said})"
        super().__init__(reason, kind=kind)
        self.code, self.message, self.position = code, message, position

    @classmethod
    def said(cls, error: Exception, before: int | None = None) -> Self:
        """Of the driver's error; ``before`` is the number of our own characters before the text,
        where the message's position counts them."""
        place = getattr(error, "position", None)
        position = int(place) - before if place and before is not None else None
        return cls(getattr(error, "sqlstate", None) or "", str(error), position)
