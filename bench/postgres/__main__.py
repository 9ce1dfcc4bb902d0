"""python -m bench.postgres: ours and its peers on one sick server, then ours on hard ones.

Prints both tables and whether each bar holds; the exit code is 1 when one does not.
"""

import argparse
import platform
import sys

from bench.postgres.bars import contest_bars, hard_bars
from bench.postgres.contest import compete
from bench.postgres.hard import examine_all
from bench.postgres.tables import contest_table, evidence, hard_table


def main() -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(prog="bench.postgres")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--markdown", action="store_true", help="tables for a page")
    parser.add_argument(
        "--report", action="store_true", help="our first report, and what each tool said"
    )
    options = parser.parse_args()
    results = compete(options.rounds)
    if options.report:
        print(results[0].rounds[0].usage.output, evidence(results), sep="\n", end="\n\n")
    print(f"ours runs on Python {platform.python_version()} of {sys.base_prefix}", end="\n\n")
    print(contest_table(results, options.markdown), flush=True)
    figures = list(examine_all(options.rounds))
    print("", hard_table(figures, options.markdown), "", sep="\n")
    bars = [*contest_bars(results), *hard_bars(figures)]
    print(*bars, sep="\n")
    return 0 if all(bar.held for bar in bars) else 1


if __name__ == "__main__":
    sys.exit(main())
