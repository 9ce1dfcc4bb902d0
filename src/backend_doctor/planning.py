"""Which facts a set of checks needs, in which order, and which of them twice."""

import inspect
from collections.abc import Iterable
from functools import cache
from types import NoneType
from typing import Any, TypeGuard, get_args

import msgspec

from backend_doctor.facts import Fact, Instance, Login, Service
from backend_doctor.registry import Check, Need, home, need_of

SUPPLIED: tuple[type[Fact], ...] = (Service, Instance, Login)


class Source(msgspec.Struct, frozen=True):
    """One parameter of a fact's ``collect``: another fact, or (``need`` None) the connection."""

    parameter: str
    need: Need | None
    optional: bool


class Plan(msgspec.Struct, frozen=True):
    """Facts in the order to read them: those of the first look only, those looked at twice,
    and those that are made from a second look."""

    early: tuple[type[Fact], ...]
    twice: tuple[type[Fact], ...]
    late: tuple[type[Fact], ...]


def _is_fact(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, Fact)


@cache
def sources(fact: type[Fact]) -> tuple[Source, ...]:
    """What a fact is collected from; nothing for the facts that the engine supplies."""
    if fact in SUPPLIED:
        return ()
    found = []
    collect = getattr(fact, "collect")  # noqa: B009 - not part of the base class
    hints = inspect.get_annotations(collect, eval_str=True)
    for name, annotation in hints.items():
        if name == "return":
            continue
        parts = get_args(annotation) or (annotation,)
        optional = NoneType in parts
        # of Looks[Sessions] | None too
        inner = [one for part in parts for one in (get_args(part) or (part,))]
        need = need_of(name, annotation) if any(map(_is_fact, inner)) else None
        found.append(Source(name, need, optional))
    return tuple(found)


def _ordered(needs: Iterable[Need], *, two_looks: bool = True) -> list[type[Fact]]:
    order: list[type[Fact]] = []

    def wanted(need: Need | None) -> TypeGuard[Need]:
        return need is not None and (two_looks or "looks" not in need.form)

    def visit(fact: type[Fact]) -> None:
        for source in sources(fact):
            if wanted(source.need):
                visit(source.need.fact)
        if fact not in order and fact not in SUPPLIED:
            order.append(fact)

    for need in filter(wanted, needs):
        visit(need.fact)
    return order


def depends(fact: type[Fact], on: Iterable[type[Fact]]) -> bool:
    """Whether a fact is made, directly or not, from one of the others."""
    others = set(on)
    needs = [source.need.fact for source in sources(fact) if source.need is not None]
    return any(need in others or depends(need, others) for need in needs)


def plan(checks: Iterable[Check], kind: str, *, two_looks: bool = True) -> Plan:
    """The facts of one kind of backend that the checks need, those of other kinds included.

    What a twice-seen fact is made from is seen twice too, unless it is lasting. What only two
    looks can tell is not read where there is one.
    """
    needs = [
        need
        for check in checks
        for need in check.needs
        if (home(need.fact) or check.backend) == kind
    ]
    everything = _ordered(needs, two_looks=two_looks)
    if not two_looks:
        return Plan(tuple(everything), (), ())
    wanted = set(_ordered(need for need in needs if "looks" in need.form))
    twice = tuple(fact for fact in everything if fact in wanted and not fact.lasting)
    single = [fact for fact in everything if fact not in twice]
    late = tuple(fact for fact in single if depends(fact, twice))
    return Plan(tuple(fact for fact in single if fact not in late), twice, late)
