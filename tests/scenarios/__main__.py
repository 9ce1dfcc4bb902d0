"""Runs the accuracy benchmark: ``make scenarios [ONLY=P01,P05] [SEED=n] [PG=15]``."""

import argparse
import asyncio
import random
import sys
from pathlib import Path

from tests.scenarios.play import find_scenarios, parts, play_all
from tests.scenarios.summary import Row, passed, score, table, write

OUTPUT = Path(__file__).resolve().parents[2] / "build" / "scenarios.json"


def _ids(text: str) -> list[str]:
    known, given = find_scenarios(), [name for name in text.split(",") if name]
    unknown = [name for name in given if name not in known]
    if unknown:
        raise argparse.ArgumentTypeError(
            f"no scenario {', '.join(unknown)}; there are {', '.join(known)}"
        )
    return given


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.scenarios", description=__doc__)
    parser.add_argument("--only", type=_ids, default=[], help="ids, separated by commas")
    parser.add_argument("--seed", type=int, default=random.randint(1, 9999), help="default: random")
    parser.add_argument("--pg", type=int, choices=(15, 18), help="default: 15 for an even seed")
    return parser.parse_args()


async def _run(arguments: argparse.Namespace) -> list[Row]:
    rows = []
    async for row in play_all(parts(arguments.seed, arguments.only, arguments.pg)):
        print(table([row]).splitlines()[1], flush=True)
        rows.append(row)
    return sorted(rows, key=lambda row: (row.id, row.twin))


def main() -> int:
    """0 when all is well, 1 otherwise."""
    arguments = _arguments()
    print(f"seed {arguments.seed}", flush=True)
    rows = asyncio.run(_run(arguments))
    write(rows, OUTPUT)
    print(f"\n{table(rows)}\n\n{score(rows)}")
    return 0 if passed(rows) else 1


if __name__ == "__main__":
    sys.exit(main())
