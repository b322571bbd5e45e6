"""Statements in one round trip: what is sent arrives in order; an error undoes what follows."""

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.exchange import Exchange
from tests.real_postgres import Postgres

TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)
VALUES = {
    "text": TEXTS,
    "int8": st.integers(-(2**63), 2**63 - 1),
    "bytea": st.binary(max_size=8),
    "bool": st.booleans(),
}
DEADLINE_S = 20.0
Driver = psycopg.Connection[Any]


@pytest.fixture(scope="module", params=[None, 3], ids=["prepared", "not prepared"])
def opened(request: pytest.FixtureRequest, postgres: Postgres) -> Iterator[tuple[Driver, Exchange]]:
    """A connection as ingest has it, and one as the other processes have theirs."""
    with contextlib.closing(postgres.administrator()) as driver:
        driver.autocommit = False
        driver.prepare_threshold = request.param
        yield driver, Exchange(driver)


@pytest.fixture
def driver(opened: tuple[Driver, Exchange]) -> Iterator[Driver]:
    yield opened[0]
    opened[0].rollback()


@pytest.fixture
def exchange(opened: tuple[Driver, Exchange], driver: Driver) -> Exchange:
    assert driver is opened[0]
    return opened[1]


def asked(exchange: Exchange, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
    exchange.add(statement, parameters)
    return exchange.ask()


@pytest.mark.parametrize("kind", VALUES)
@given(data=st.data())
def test_every_value_arrives_as_it_was(
    opened: tuple[Driver, Exchange], kind: str, data: st.DataObject
) -> None:
    exchange = opened[1]
    one = data.draw(st.none() | VALUES[kind])
    many = data.draw(st.lists(st.none() | VALUES[kind], max_size=5))
    got = asked(exchange, f"SELECT %s::{kind}, %s::{kind}[], %s::{kind}", one, many, None)
    assert got == [(one, many, None)]


def test_a_nul_becomes_another_character(exchange: Exchange) -> None:
    assert asked(exchange, "SELECT %s::text", "a\0b") == [("a\N{REPLACEMENT CHARACTER}b",)]


def test_what_cannot_be_sent_is_refused_and_spoils_nothing(exchange: Exchange) -> None:
    with pytest.raises(TypeError, match="float"):
        exchange.add("SELECT %s", [0.5])
    assert asked(exchange, "SELECT 1") == [(1,)]


def test_statements_are_done_in_order_and_only_when_asked(exchange: Exchange) -> None:
    exchange.add("CREATE TEMP TABLE t (n int8) ON COMMIT DROP", ())
    for n in range(3):
        exchange.add("INSERT INTO t VALUES (%s)", [n])
    assert asked(exchange, "SELECT n FROM t ORDER BY n") == [(0,), (1,), (2,)]
    assert exchange.ask() == []


def test_the_first_error_is_raised_and_nothing_behind_it_is_done(
    exchange: Exchange, driver: Driver
) -> None:
    exchange.add("SELECT 7", ())
    exchange.add("SELECT 1 / %s::int8", [0])
    exchange.add("SELECT 8", ())
    with pytest.raises(psycopg.errors.DivisionByZero):
        exchange.ask()
    with pytest.raises(psycopg.errors.InFailedSqlTransaction):
        asked(exchange, "SELECT 7")
    driver.rollback()
    for _ in range(2):  # what was prepared before the error and what was not
        assert asked(exchange, "SELECT 7") == [(7,)]
        assert asked(exchange, "SELECT 8") == [(8,)]
        assert asked(exchange, "SELECT 1 / %s::int8", 1) == [(1,)]
        driver.rollback()


def test_a_transaction_begins_as_the_connection_says(exchange: Exchange, driver: Driver) -> None:
    driver.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
    driver.read_only = True
    try:
        for setting, value in (
            ("transaction_isolation", "repeatable read"),
            ("transaction_read_only", "on"),
        ):
            assert asked(exchange, f"SHOW {setting}") == [(value,)]
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            asked(exchange, "CREATE TABLE t (n int8)")
    finally:
        driver.rollback()
        driver.isolation_level = driver.read_only = None


def test_much_in_both_directions_at_once_stops_nobody(exchange: Exchange) -> None:
    big = "x" * 4_000_000
    for _ in range(4):
        exchange.add("SELECT %s::text", [big])
    assert asked(exchange, "SELECT length(%s::text)", big) == [(len(big),)]


def test_a_server_that_ends_the_session_is_an_error_and_not_a_wait(postgres: Postgres) -> None:
    driver = postgres.administrator()
    exchange = Exchange(driver)
    ((pid,),) = asked(exchange, "SELECT pg_backend_pid()")
    with contextlib.closing(postgres.administrator()) as other:
        killer = threading.Timer(
            0.3, lambda: other.execute("SELECT pg_terminate_backend(%s)", [pid])
        )
        killer.start()
        exchange.add("SELECT 1", ())
        exchange.add("SELECT pg_sleep(%s::float8)", [int(DEADLINE_S)])
        exchange.add("SELECT 2", ())
        with pytest.raises(psycopg.OperationalError):
            exchange.ask()
        killer.join(DEADLINE_S)
    assert driver.closed
