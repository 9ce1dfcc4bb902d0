"""The marks that a bench gives, against lines that the tools printed on the sick server."""

import re

import pytest
from bench.measure import Command, run
from bench.postgres.faults import FAULTS, WITHIN, Mark, first_cause, judge, readable

VALUES = {"root_pid": "7753"}
OURS = """\
CRITICAL postgres.idle_in_transaction                             adhoc.postgres
  12 sessions of billing-worker idle in an open transaction; 27 of 27 usable
  connections are taken.
  cause     leak.idle_in_transaction (likely): billing-worker opens transactions
CRITICAL postgres.lock_waits                                      adhoc.postgres
  3 sessions wait for a row of public.balances behind pid 7753 of checkout-api,
  cause     lock.idle_holder (certain): pid 7753 (idle in transaction) holds
WARNING  postgres.slow_queries                                    adhoc.postgres
  No index serves public.orders (customer_id): one statement reads all of it and
            the statement (run by search-api): SELECT id, total FROM orders
            WHERE customer_id = $1 ORDER BY created_at DESC LIMIT $2
  The index public.orders_created_idx2 on public.orders (created_at) is the same
  The sequence public.invoices_number_seq runs out: 94.6% used, 1767 left.
WARNING  postgres.foreign_keys                                    adhoc.postgres
  note      no index, but small or without deletes of the parent:
            public.order_items (order_id) -> orders (about 300000 rows)
"""
CHECK_POSTGRES = """\
POSTGRES_BACKENDS WARNING: DB "postgres" (host:127.0.0.1) 28 of 30 connections (93%) | time=0.27s
POSTGRES_TXN_IDLE CRITICAL: 13 idle transactions longer than 60s, longest: 83s PID:7753 username:app
POSTGRES_LOCKS WARNING: DB "postgres" total "waiting" locks: 1 | time=0.07s postgres.waiting=1;1;3
POSTGRES_SEQUENCE CRITICAL: public.invoices_number_seq=95% (calls left=1767) | time=0.15s
POSTGRES_LAST_ANALYZE OK: postgres.public.orders=89s;86400;172800 postgres.public.order_items=89s
"""
EXPORTER = """\
pg_settings_max_connections{server="127.0.0.1:33975"} 30
pg_stat_activity_count{datname="postgres",server="h:1",state="idle in transaction"} 13
pg_locks_count{datname="postgres",mode="exclusivelock",server="127.0.0.1:33975"} 3
"""
PG_ACTIVITY = (
    "\x1b[H Sessions: \x1b[1m28\x1b[m / \x1b[1m30\x1b[m total \x1b(B 13 idle in txn\r\n"
    "7741 postgres billing-worker app ClientRead N \x1b[33midle in trans\x1b[m SELECT\r\n"
    "\x1b[2J BLOCKING QUERIES\r\n 7753 postgres checkout-api app transactionid ExclusiveLock\r\n"
)
PGBADGER = """\
- Queries that took up the most time (N) -------------------------------
1) 2m51s - 531 - 144ms/587ms/323ms - select id, total from orders where customer_id = ? limit ?;
1) 2 - LOG:  process ... still waiting for ShareLock on transaction ... after ... ms
		Detail: Process holding the lock: 7753. Wait queue: 7754.
"""
NOTHING = "CREATE INDEX on orders; 7753 rows; 30 sessions; invoices_number_seq 12%"


@pytest.mark.parametrize(
    ("output", "named", "part"),
    [
        (OURS, {fault.name for fault in FAULTS}, set()),
        (CHECK_POSTGRES, {"slots", "sequence"}, {"leak", "lock root"}),
        (EXPORTER, set(), {"leak", "slots"}),
        (PG_ACTIVITY, {"leak", "lock root", "slots"}, set()),
        (PGBADGER, {"lock root"}, {"slow search"}),
        (NOTHING, set(), set()),
    ],
    ids=["ours", "check_postgres", "exporter", "pg_activity", "pgbadger", "nothing"],
)
def test_a_tool_gets_the_marks_that_its_output_earns(
    output: str, named: set[str], part: set[str]
) -> None:
    seen = judge(output, VALUES)
    assert {name for name, one in seen.items() if one.mark is Mark.NAMED} == named
    assert {name for name, one in seen.items() if one.mark is Mark.PART} == part


def test_words_far_apart_name_nothing() -> None:
    near, far = " " * 10, "\n" * (WITHIN + 1)
    for between, mark in ((near, Mark.NAMED), (far, Mark.SILENT)):
        assert judge(f"billing-worker{between}idle in transaction", VALUES)["leak"].mark is mark


def test_the_first_of_several_causes_is_the_one_ranked_first() -> None:
    assert first_cause(OURS) == "leak.idle_in_transaction"
    assert first_cause(PG_ACTIVITY) is None


def test_a_screen_reads_as_lines() -> None:
    assert "28 / 30 total" in readable(PG_ACTIVITY)


def test_a_command_with_keys_has_a_terminal_of_a_size_where_they_are_typed() -> None:
    script = 'stty size; test -t 0 && read word && echo "read $word"'
    usage = run(Command(["/bin/sh", "-c", script], {}, keys=((0.1, "leak\n"),)))
    assert usage.code == 0
    assert re.search(r"60 200\s+leak\s+read leak", usage.output)
