"""The months that the ledger is kept by on PostgreSQL: made in time, only grown, dropped whole."""

import contextlib
import threading
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from fleet.config import Databases
from fleet.grants import Role
from fleet.months import Months, bounds_ms, ensure, month_of, next_month, partition
from fleet.schema import entry
from fleet.store import Store
from tests.fleet.virtual import NOON_MS
from tests.real_postgres import Postgres

APPEND_ONLY = pytest.raises(sa.exc.IntegrityError, match="append-only")


@given(st.integers(0, 4_102_412_400_000 - 1))
def test_an_instant_lies_in_its_month_and_months_follow_each_other(at_ms: int) -> None:
    month = month_of(at_ms)
    first, after = bounds_ms(month)
    assert first <= at_ms < after
    assert month_of(after - 1) == month
    assert month_of(after) == next_month(month)


def parts(store: Store) -> dict[str, str]:
    """The partitions and their bounds, as the server has them."""
    wanted = sa.text(
        "select c.relname, pg_get_expr(c.relpartbound, c.oid) bounds from pg_inherits i"
        " join pg_class c on c.oid = i.inhrelid where i.inhparent = 'fleet.entry'::regclass"
    )
    with store.read() as connection:
        return {row.relname: row.bounds for row in connection.execute(wanted)}


@pytest.mark.parametrize("month", ["2026-02", "2026-12", "2028-02", "1970-01"])
def test_a_month_has_the_towns_own_bounds(opened: Callable[[Role], Store], month: str) -> None:
    year, number = map(int, month.split("-"))
    ingest = opened(Role.INGEST)
    first, after = bounds_ms(month_of(NOON_MS).replace(year=year, month=number))
    Months(ingest).ensure(max(0, first))
    Months(ingest).ensure(after - 1)
    name = partition(month_of(max(0, first)))
    assert parts(ingest) == {name: f"FOR VALUES FROM ('{first}') TO ('{after}')"}


def test_a_month_is_made_once_however_many_ask(opened: Callable[[Role], Store]) -> None:
    ingest = opened(Role.INGEST)
    threads = [threading.Thread(target=Months(ingest).ensure, args=(NOON_MS,)) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert list(parts(ingest)) == ["entry_202606"]


def test_a_month_is_made_while_another_worker_inserts(opened: Callable[[Role], Store]) -> None:
    ingest = opened(Role.INGEST)
    Months(ingest).ensure(NOON_MS)
    with ingest.write() as connection:
        connection.execute(entry.insert(), row())
        Months(ingest).ensure(bounds_ms(month_of(NOON_MS))[1])
        connection.execute(entry.insert(), row(n=2))
    assert len(parts(ingest)) == 2


@pytest.mark.parametrize("at_ms", [-1, 4_102_444_800_000])
def test_no_month_is_made_outside_of_this_century(
    opened: Callable[[Role], Store], at_ms: int
) -> None:
    ingest = opened(Role.INGEST)
    with pytest.raises(sa.exc.DataError, match="no time of receipt"), ingest.write() as connection:
        ensure(connection, at_ms)


def row(**changes: Any) -> dict[str, Any]:
    values: dict[str, Any] = {"journal_id": 1, "n": 1, "hash": b"h", "body": b"b"}
    values |= {"received_at_ms": NOON_MS, "kind": "tap", "at_ms": NOON_MS, "clock": "unknown"}
    return values | changes


def test_an_entry_stands_once_in_its_month(opened: Callable[[Role], Store]) -> None:
    ingest = opened(Role.INGEST)
    Months(ingest).ensure(NOON_MS)
    with ingest.write() as connection:
        connection.execute(entry.insert(), row())
    twice = pytest.raises(sa.exc.IntegrityError, match="uq_entry_202606_journal_id_n")
    with twice, ingest.write() as connection:
        connection.execute(entry.insert(), row(received_at_ms=NOON_MS + 1))


@pytest.mark.parametrize("table", ["entry", "entry_202606"])
@pytest.mark.parametrize(
    "statement",
    ["update {} set code = 'ok'", "delete from {}", "truncate {}", "truncate {} cascade"],
)
def test_the_ledger_is_append_only_for_its_owner_and_the_administrator_too(
    postgres: Postgres,
    server: Databases,
    opened: Callable[[Role], Store],
    table: str,
    statement: str,
) -> None:
    owner, ingest = opened(Role.OWNER), opened(Role.INGEST)
    Months(ingest).ensure(NOON_MS)
    with ingest.write() as connection:
        connection.execute(entry.insert(), row())
    with APPEND_ONLY, owner.write() as connection:
        connection.exec_driver_sql(statement.format(table))
    name = server.url.partition("?")[0].rpartition("/")[2]
    with contextlib.closing(postgres.administrator(name)) as administrator:
        for replication in ("origin", "replica"):
            administrator.execute(f"set session_replication_role = {replication}")
            with pytest.raises(psycopg.errors.RestrictViolation):
                administrator.execute(statement.format(f"fleet.{table}"))


@pytest.mark.parametrize("table", ["conflict", "audit"])
def test_what_else_only_grows_is_append_only_too(
    opened: Callable[[Role], Store], table: str
) -> None:
    owner = opened(Role.OWNER)
    for statement in (f"update {table} set id = 1", f"delete from {table}", f"truncate {table}"):
        with APPEND_ONLY, owner.write() as connection:
            connection.exec_driver_sql(statement)


def test_a_month_past_retention_can_be_dropped_whole(opened: Callable[[Role], Store]) -> None:
    owner, ingest = opened(Role.OWNER), opened(Role.INGEST)
    Months(ingest).ensure(NOON_MS)
    with ingest.write() as connection:
        connection.execute(entry.insert(), row())
    with owner.write() as connection:
        connection.exec_driver_sql("drop table entry_202606")
    with ingest.read() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(entry)) == 0
