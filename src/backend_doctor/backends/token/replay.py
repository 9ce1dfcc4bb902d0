"""What becomes of a refresh token that is used twice; only with --replay."""

import asyncio
from typing import ClassVar, Self

from backend_doctor.backends.token.account import Account, Pair, asked_for
from backend_doctor.backends.token.connection import TokenConnection
from backend_doctor.backends.token.grants import Grants
from backend_doctor.backends.token.times import DEFAULT_GRACE, LONGEST_GRACE
from backend_doctor.facts import AbsenceKind, Absent, Fact, Instance

_AFTER = 2.0


class Replay(Fact, frozen=True, kw_only=True):
    """Statuses of refreshes of the test account; None where one was not tried.

    ``race`` are the two answers to one token that was sent twice at once, ``after_race`` that to
    a token which the race gave. Then, after another login: ``at_once`` is the answer to a token
    right after its use, ``late`` that after ``waited`` seconds, ``after_reuse`` that to the newest
    token in the end. ``rotates`` whether refreshes give new refresh tokens.
    """

    seconds_limit: ClassVar[float] = LONGEST_GRACE + 40.0

    race: tuple[int, int]
    after_race: int | None = None
    rotates: bool = False
    at_once: int | None = None
    late: int | None = None
    waited: float = 0.0
    after_reuse: int | None = None

    @classmethod
    async def collect(
        cls, tokens: TokenConnection, instance: Instance, grants: Grants | None
    ) -> Self:
        """Two logins and up to seven refreshes. Raises Absent without --replay."""
        if not asked_for(instance, "replay"):
            raise Absent("needs --replay", kind=AbsenceKind.NOT_APPLICABLE)
        account = Account(tokens, instance)
        if not grants or not grants.refresh or not account.can_renew:
            raise Absent("the test account has no refresh token, or no refresh URL is declared")
        race, after_race = await _race(account)
        first = await _login(account)
        second = await account.renew(first)
        rotates = second.refresh is not None and second.refresh != first.refresh
        if not second.granted or not rotates:
            return cls(race=race, after_race=after_race, rotates=rotates)
        at_once, late, waited = await account.renew(first), None, 0.0
        if at_once.granted:
            grace = instance.number("grace")
            waited = (DEFAULT_GRACE if grace is None else grace) + _AFTER
            await asyncio.sleep(waited)
            late = await account.renew(first)
        newest = await account.renew(second)
        return cls(
            race=race,
            after_race=after_race,
            rotates=True,
            at_once=at_once.status,
            late=late.status if late else None,
            waited=waited,
            after_reuse=newest.status,
        )


async def _login(account: Account) -> Pair:
    pair = await account.log_in()
    if not pair.granted:
        raise Absent(f"a further login failed: {pair.problem}")
    return pair


async def _race(account: Account) -> tuple[tuple[int, int], int | None]:
    first = await _login(account)
    one, other = await asyncio.gather(account.renew(first), account.renew(first))
    winner = next((pair for pair in (one, other) if pair.granted and pair.refresh), None)
    after = await account.renew(winner) if winner else None
    return (one.status, other.status), after.status if after else None
