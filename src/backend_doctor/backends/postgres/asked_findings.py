"""What is said of one statement that somebody asks about: the reasons of ``slow_queries``."""

from collections.abc import Iterator

from backend_doctor.backends.postgres.asked import Asked
from backend_doctor.backends.postgres.plans import Plans
from backend_doctor.backends.postgres.slow_findings import reasons, tables_of
from backend_doctor.backends.postgres.slowness import Limits, SlowStatement
from backend_doctor.backends.postgres.statements import Load
from backend_doctor.model import Finding, Remedy, Status, Step

_HOW = {True: "it was run once, and rolled back", False: "estimates only; nothing was run"}


def _slow(asked: Asked) -> SlowStatement:
    """The statement as ``slow_queries`` sees one: without counters, but by its measured run."""
    planned = asked.planned
    milliseconds = next((one.milliseconds for one in planned.plans if one.milliseconds), None)
    tree = next((one.tree for one in planned.plans if one.milliseconds is not None), None)
    rows = tree.actual_rows * tree.loops if tree and tree.actual_rows is not None else 0.0
    load = Load(
        planned.query_id,
        planned.database,
        planned.role,
        calls=1 if milliseconds is not None else 0,
        ms=milliseconds or 0.0,
        rows=round(rows),
        busy=1.0,
    )
    return SlowStatement(load, 1.0, planned)


def _refused(asked: Asked) -> Finding:
    planned = asked.planned
    if asked.error and not planned.blind:
        near = " ".join(asked.text[asked.position - 1 :].split())[:20]
        place = f" (at character {asked.position}: {near})" if asked.position else ""
        summary = f"The server refuses the statement: {asked.error}{place}."
    elif planned.kind == "utility":
        summary = "It has no plan: it is no SELECT, UPDATE or DELETE."
    else:
        summary = f"It has no plan: {planned.refusal}."
    remedy = Remedy(
        step=Step.CURE,
        command=asked.remedy,
        effect="lets its plan be had; SELECT on the statement's own tables is enough as well",
        changes_state=True,
    )
    return Finding(
        status=Status.UNKNOWN, summary=summary, remedies=(remedy,) if asked.remedy else ()
    )


def findings(asked: Asked, limits: Limits | None = None) -> Iterator[Finding]:
    """A warning for each reason that its plan shows, else ok; unknown where it has no plan."""
    planned = asked.planned
    if not planned.plans:
        yield _refused(asked)
        return
    plans = Plans(statements=(planned,), tables=asked.tables)
    why = reasons(_slow(asked), tables_of(plans), limits or Limits())
    measured = any(plan.milliseconds is not None for plan in planned.plans)
    notes = [_HOW[measured]]
    if planned.not_run:
        notes.append(planned.not_run)
    if planned.as_select:
        notes.append(
            "planned as the SELECT of the rows that it changes, its placeholders numbered anew"
        )
    for reason in why:
        yield Finding(
            status=Status.WARNING,
            summary=f"{reason.summary}.",
            evidence=reason.evidence,
            cause=reason.cause,
            remedies=reason.remedies,
            subjects=reason.subjects,
            notes=(*reason.notes, *notes),
        )
    if not why:
        yield Finding(
            status=Status.OK, summary="Its plan shows nothing to mend.", notes=tuple(notes)
        )
