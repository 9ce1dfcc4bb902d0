"""Which facts are read, and in which look."""

from collections.abc import Callable, Iterator
from typing import Any, Self

from backend_doctor.facts import Fact, Looks
from backend_doctor.planning import plan
from backend_doctor.registry import Check, bundled_folder, need_of


class Size(Fact, frozen=True):
    """Read at once."""

    @classmethod
    async def collect(cls, db: object) -> Self:
        """Itself."""
        return cls()


class Counter(Fact, frozen=True):
    """Means nothing alone."""

    @classmethod
    async def collect(cls, db: object, size: Size) -> Self:
        """Made from the size."""
        return cls()


class Change(Fact, frozen=True):
    """Made from both looks at the counter."""

    @classmethod
    async def collect(cls, db: object, counters: Looks[Counter] | None) -> Self:
        """Made late."""
        return cls()


def made(**hints: Any) -> Check:
    function: Callable[..., Iterator[Any]] = lambda **_: iter(())  # noqa: E731
    needs = tuple(need_of(name, hint) for name, hint in hints.items())
    path = bundled_folder() / "redis" / "made.py"
    return Check("redis.made", "redis", path, function, needs, ())


RATES = made(counters=Looks[Counter])
CHANGES = made(change=Change, size=Size)


def test_what_a_rate_is_told_from_is_read_in_both_looks() -> None:
    found = plan([RATES, CHANGES], "redis")
    assert (found.early, found.twice, found.late) == ((), (Size, Counter), (Change,))


def test_with_one_look_nothing_is_read_that_only_two_can_tell() -> None:
    assert plan([RATES], "redis", two_looks=False).early == ()
    assert plan([CHANGES], "redis", two_looks=False).early == (Change, Size)
    whole = plan([RATES, CHANGES, made(counter=Counter)], "redis", two_looks=False)
    assert whole.early == (Change, Size, Counter)
    assert (whole.twice, whole.late) == ((), ())
