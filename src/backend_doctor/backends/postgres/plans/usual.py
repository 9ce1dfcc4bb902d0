"""Which scans of a statement's plans its calls are likely to run."""

from collections.abc import Iterable, Mapping, Sequence

from backend_doctor.backends.postgres.plans.explained import Plan, Scan
from backend_doctor.backends.postgres.plans.tables import Table

# a call that touched less than this part of a table did not read it whole
_WHOLE = 0.5
Place = tuple[str, str]


def reads_whole(blocks: float, table: Table) -> bool:
    """Whether a call touches as many blocks as the table has, or nobody counted them."""
    return not blocks or blocks >= _WHOLE * table.pages


def place_of(scan: Scan) -> Place:
    """Schema and name of its table."""
    return scan.schema, scan.table


def usual_scans(
    plans: Iterable[Plan], tables: Mapping[Place, Table], blocks: float
) -> list[tuple[Plan, Scan]]:
    """The scans that calls are likely to run, each with its plan, the likeliest first.

    Of a table that a run read, those of the run. Else those of plans for any and for common
    values, the costliest first; but where a call touches as many ``blocks`` as a table has, plans
    that read the table come before those that walk its indexes, even plans for rare values.
    """
    scans = [(plan, scan) for plan in plans for scan in plan.scans]
    run = {place_of(scan) for _, scan in scans if scan.removed is not None}
    read = {
        place_of(scan)
        for _, scan in scans
        if not scan.index and _touched_whole(tables.get(place_of(scan)), blocks)
    }
    usual = [(plan, scan) for plan, scan in scans if plan.values != "rare"]
    told = {place_of(scan) for _, scan in usual if not scan.index}
    usual += [
        (plan, scan)
        for plan, scan in scans
        if plan.values == "rare" and not scan.index and place_of(scan) in read - told
    ]
    return sorted(
        (one for one in usual if one[1].removed is not None or place_of(one[1]) not in run),
        key=lambda one: (
            one[1].removed is None,
            bool(one[1].index) and place_of(one[1]) in read,
            -one[1].cost_share,
        ),
    )


def _touched_whole(table: Table | None, blocks: float) -> bool:
    return table is not None and blocks > 0 and reads_whole(blocks, table)


def compared(scans: Sequence[tuple[Plan, Scan]], place: Place) -> Plan | None:
    """The plan that a trial index is compared with: with real values, where it has such a scan."""
    of_table = [(plan, scan) for plan, scan in scans if place_of(scan) == place]
    if not of_table:
        return None
    walks = bool(of_table[0][1].index)
    found = {plan.values: plan for plan, scan in of_table if bool(scan.index) == walks}
    return found.get("common") or found.get("generic") or of_table[0][0]
