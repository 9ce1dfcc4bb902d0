"""Finds the scenarios, plays their rows two at a time, and judges what the doctor said."""

import asyncio
from collections.abc import AsyncIterator, Collection, Iterable, Iterator
from importlib import import_module
from pathlib import Path

from tests.scenarios.frame.doctor import WINDOW
from tests.scenarios.frame.fault import PostgresFault, Scenario
from tests.scenarios.frame.stage import Part, Seen, play
from tests.scenarios.score import Expected, judge
from tests.scenarios.summary import Row
from tests.scenarios.truth import load_truth

AT_ONCE = 2
ROW_LIMIT = 150.0


def find_scenarios() -> dict[str, Scenario]:
    """All scenarios of this folder by id, in the order of their ids. Raises ValueError where two
    have one id."""
    found: list[Scenario] = []
    for file in sorted(Path(__file__).parent.glob("*.py")):
        text = file.read_text()
        if "\nSCENARIO = " in text:
            module = import_module(f"tests.scenarios.{file.stem}")
            found += [item for item in vars(module).values() if isinstance(item, Scenario)]
    by_id = {scenario.id: scenario for scenario in sorted(found, key=lambda one: one.id)}
    if len(by_id) < len(found):
        twice = sorted({one.id for one in found if by_id[one.id] is not one})
        raise ValueError(f"more than one scenario is called {', '.join(twice)}")
    return by_id


def parts(seed: int, only: Collection[str] = (), version: int | None = None) -> list[Part]:
    """The rows of a run; PostgreSQL 15 with an even seed, 18 with an odd one, unless told."""
    chosen = version or (18 if seed % 2 else 15)
    return [
        Part(scenario, twin, seed, chosen)
        for scenario in find_scenarios().values()
        for twin in ((False, True) if scenario.has_twin else (False,))
        if not only or scenario.id in only
    ]


async def play_all(rows: Iterable[Part]) -> AsyncIterator[Row]:
    """Plays the rows, two at a time; each comes as it ends."""
    free = asyncio.Semaphore(AT_ONCE)

    async def one(part: Part) -> Row:
        async with free:
            try:
                async with asyncio.timeout(ROW_LIMIT):
                    return judged(part, await play(part))
            except Exception as error:  # noqa: BLE001 - one broken row must not hide the others
                return judged(part, Seen(void=f"could not be played: {error!r}"))

    tasks = [asyncio.create_task(one(part)) for part in rows]
    try:
        for finished in asyncio.as_completed(tasks):
            yield await finished
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _on_postgres(scenario: Scenario) -> Iterator[bool]:
    return (isinstance(placement.fault, PostgresFault) for placement in scenario.placements)


def judged(part: Part, seen: Seen) -> Row:
    """The row of a part, from what came of it."""
    book, scenario = load_truth(), part.scenario
    truths = [book.scenarios[placement.fault.truth] for placement in scenario.placements]
    described = tuple(placement.fault.truth for placement in scenario.placements)
    if len(described) > 1 and book.compounds[scenario.id] != described:
        raise ValueError(f"{scenario.id} is not made as truth.yaml says")
    expected = [
        Expected(part.service(placement), placement.fault.kind, truth, facts, blind)
        for placement, truth, facts, blind in zip(
            scenario.placements, truths, seen.facts, seen.blind, strict=False
        )
    ]
    said = seen.said
    targets = said.report["targets"] if said else []
    return Row(
        id=scenario.id,
        twin=part.twin,
        seed=part.seed,
        server=f"PG {part.version}" if any(_on_postgres(scenario)) else "-",
        expected=tuple(truth.cause for truth in truths),
        verdict=judge(said.report, expected, book, twin=part.twin) if said else None,
        void=seen.void,
        failure=seen.failure,
        seconds=max(0.0, said.seconds - max(WINDOW, scenario.sample_for)) if said else 0.0,
        statements=sum(target["statements"] for target in targets),
        connections=max([seen.logins, *(target["connections"] for target in targets)]),
    )
