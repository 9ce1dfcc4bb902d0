"""What is said of one statement that somebody asks about: the reasons of ``slow_queries``."""

from collections.abc import Iterator

from backend_doctor.backends.postgres.plans.asked import Asked
from backend_doctor.backends.postgres.plans.planned import PlannedStatement
from backend_doctor.backends.postgres.plans.plans import Plans
from backend_doctor.backends.postgres.plans.slow_findings import reasons, tables_of
from backend_doctor.backends.postgres.plans.slowness import Limits, SlowStatement
from backend_doctor.backends.postgres.plans.spared_scans import spared
from backend_doctor.backends.postgres.statements import Load
from backend_doctor.model import Finding, Remedy, Status, Step

_RUN = "EXPLAIN (ANALYZE)"


def _slow(asked: Asked) -> SlowStatement:
    """The statement as ``slow_queries`` sees one: without counters, but by its measured run."""
    planned = asked.planned
    run = next((one for one in planned.plans if one.milliseconds is not None), None)
    tree = run.tree if run else None
    rows = tree.actual_rows * tree.loops if tree and tree.actual_rows is not None else 0.0
    load = Load(
        planned.query_id,
        planned.database,
        planned.role,
        calls=1 if run else 0,
        ms=(run.milliseconds or 0.0) if run else 0.0,
        rows=round(rows),
        busy=1.0,
    )
    return SlowStatement(load, 1.0, planned, source=_RUN)


def _how(planned: PlannedStatement) -> Iterator[str]:
    """How its plans were had."""
    if any(plan.milliseconds is not None for plan in planned.plans):
        yield "it was run once, and rolled back"
    elif planned.proof is not None and planned.proof.proven:
        yield "nothing was run: rows are estimates; that the index is used, the planner has shown"
    else:
        yield "estimates only; nothing was run"
    if planned.not_run:
        yield planned.not_run
    if planned.as_select:
        yield "planned as the SELECT of the rows that it changes, its placeholders numbered anew"


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
    """A warning for each reason that its plan shows, else ok, with what was seen and why that is
    none; unknown where it has no plan."""
    planned = asked.planned
    if not planned.plans:
        yield _refused(asked)
        return
    plans = Plans(statements=(planned,), tables=asked.tables)
    slow, tables, limits = _slow(asked), tables_of(plans), limits or Limits()
    why = reasons(slow, tables, limits)
    notes = tuple(_how(planned))
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
            status=Status.OK,
            summary="Its plan shows nothing to mend.",
            notes=(*spared(slow, tables, limits), *notes),
        )
