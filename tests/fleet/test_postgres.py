"""What PostgreSQL alone can do or suffer: locks, restarts, several workers."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from fleet import bulk, gaps, ledger, statements
from fleet.config import Databases, check_database
from fleet.grants import Role, user_of
from fleet.months import Months
from fleet.schema import audit, gap, journal, person, place, reader
from fleet.store import Store, StoreUnusable, lock, migrate, open_fleet, open_persons
from fleet.workers import one_worker, sole_worker
from tests.conftest import Eventually
from tests.fleet.virtual import NOON_MS
from tests.real_postgres import Postgres, start_postgres

NAME = "佐藤花子"


def note(store: Store, what: str) -> None:
    with store.write() as connection:
        _note(connection, what)


def _note(connection: sa.Connection, what: str) -> None:
    connection.execute(audit.insert(), {"at_ms": 1, "who": "t", "what": what, "subject": ""})


def noted(store: Store) -> set[str]:
    with store.read() as connection:
        return set(connection.scalars(sa.select(audit.c.what)))


# --- what fleet.toml may say ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "",
        "postgresql://db.example/kazasu",
        "postgresql://db.example:5433/kazasu?sslmode=verify-full&sslrootcert=/etc/root.pem",
        "postgresql:///kazasu?host=/run/postgresql",
    ],
)
def test_a_url_that_says_where_the_database_is_will_do(url: str) -> None:
    check_database(url)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("kazasu", "must look like"),
        ("mysql://db.example/kazasu", "must look like"),
        ("postgresql+psycopg://db.example/kazasu", "must look like"),
        ("postgresql://db.example", "must look like"),
        ("postgresql://db.example/", "must look like"),
        ("postgresql://db.example:x/kazasu", "must look like"),
        ("postgresql://kazasu@db.example/kazasu", "no user and no password"),
        ("postgresql://kazasu:secret@db.example/kazasu", "PGPASSFILE"),
        ("postgresql://db.example/kazasu?password=secret", "unknown parameter password"),
        ("postgresql://db.example/kazasu?options=-cfsync=off", "unknown parameter options"),
    ],
)
def test_a_url_that_cannot_be_used_is_refused_with_what_to_write(url: str, why: str) -> None:
    with pytest.raises(ValueError, match=why) as refused:
        check_database(url)
    assert "secret" not in str(refused.value)


# --- transactions --------------------------------------------------------------------------------


def test_reading_stays_on_one_state_while_others_write(opened: Callable[[Role], Store]) -> None:
    store = opened(Role.OWNER)
    with store.read() as connection:
        before = connection.scalars(sa.select(audit.c.what)).all()
        note(store, "meanwhile")
        assert connection.scalars(sa.select(audit.c.what)).all() == before
    assert noted(store) == {*before, "meanwhile"}


def test_reading_writes_nothing(opened: Callable[[Role], Store]) -> None:
    store = opened(Role.OWNER)
    with pytest.raises(sa.exc.DBAPIError, match="read-only"), store.read() as connection:
        _note(connection, "x")
    note(store, "writing goes on with the same connections")


def test_a_transaction_that_fails_leaves_nothing(opened: Callable[[Role], Store]) -> None:
    store = opened(Role.OWNER)

    def break_off() -> None:
        with store.write() as connection:
            _note(connection, "half")
            connection.exec_driver_sql("select 1 / 0")

    with pytest.raises(sa.exc.DataError):
        break_off()
    assert "half" not in noted(store)


def test_a_commit_is_on_the_servers_disk_before_it_is_believed(
    opened: Callable[[Role], Store],
) -> None:
    for role in (Role.INGEST, Role.OFFICE, Role.OWNER):
        with opened(role).read() as connection:
            assert connection.exec_driver_sql("show synchronous_commit").scalar() == "on"


def test_two_writers_queue_as_they_do_on_sqlite(opened: Callable[[Role], Store]) -> None:
    console, owner = opened(Role.CONSOLE), opened(Role.OWNER)
    seen: list[int] = []

    def count_and_note(store: Store, what: str) -> None:
        for _ in range(20):
            with store.write() as connection:
                seen.append(connection.scalars(sa.select(sa.func.count(audit.c.id))).one())
                _note(connection, what)

    with owner.read() as connection:
        began_with = connection.scalars(sa.select(sa.func.count(audit.c.id))).one()
    threads = [
        threading.Thread(target=count_and_note, args=(store, what))
        for store, what in ((console, "console"), (owner, "owner"))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(seen) == list(range(began_with, began_with + 40))


_LIKE_MILLIONS = (
    "parallel_setup_cost",
    "parallel_tuple_cost",
    "min_parallel_table_scan_size",
    "min_parallel_index_scan_size",
)
"""Set to 0 these make the server ask helpers as it does of itself over ten million entries."""
_MANY = """
INSERT INTO entry (journal_id, n, hash, body, received_at_ms, kind, at_ms, clock, outcome,
                   credential)
SELECT 1, g, '', '', :at_ms + g, 'tap', :at_ms + g, 'synchronised', 'accepted',
       lpad((g % 500)::text, 32, '0')
FROM generate_series(1, 20000) AS g
"""


def test_last_bookings_are_found_by_their_cards_however_many_entries_came_since(
    opened: Callable[[Role], Store],
) -> None:
    fleet = opened(Role.INGEST)
    Months(fleet).ensure(NOON_MS)
    with opened(Role.OWNER).write() as connection:
        _journal(connection)
        connection.execute(sa.text(_MANY), {"at_ms": NOON_MS})
        connection.exec_driver_sql("ANALYZE entry")
    asked = bulk.of_postgresql(ledger.LAST_BOOKINGS)
    with fleet.read() as connection:
        for name in _LIKE_MILLIONS:
            connection.exec_driver_sql(f"SET LOCAL {name} = 0")
        plan = [
            line
            for (line,) in statements.select(
                connection,
                f"EXPLAIN {asked}",
                (["0" * 32], NOON_MS, NOON_MS, "accepted", ["town/bus-1"]),
            )
        ]
    by = [line for line in plan if "Index Cond" in line]
    assert any("credential" in line for line in by), plan
    assert not any("received_at_ms" in line for line in by), plan
    assert not any("Bitmap" in line or "Gather" in line for line in plan), plan


def test_sums_are_whole_numbers(opened: Callable[[Role], Store]) -> None:
    with opened(Role.OWNER).read() as connection:
        total = connection.scalar(sa.text("select sum(x) from (values (1::bigint), (2)) v (x)"))
    assert total == 3
    assert type(total) is int


def test_a_text_with_a_nul_stops_nothing(opened: Callable[[Role], Store]) -> None:
    store = opened(Role.OWNER)
    note(store, "a\0b")
    assert "a\ufffdb" in noted(store)
    with store.read() as connection:
        typed = sa.select(audit.c.id).where(audit.c.what.in_(["x\0", "a\0b"]))
        assert len(connection.scalars(typed).all()) == 1


# --- locks by name -------------------------------------------------------------------------------


def test_locks_in_any_order_never_wait_in_a_ring(opened: Callable[[Role], Store]) -> None:
    ingest = opened(Role.INGEST)
    names = [f"kazasu-shi/bus-{number}" for number in range(12)]
    inside: set[str] = set()
    failures: list[BaseException] = []

    def work(mine: list[str]) -> None:
        try:
            for _ in range(25):
                with ingest.write() as connection:
                    lock(connection, "reader", mine)
                    assert not inside & set(mine)
                    inside.update(mine)
                    connection.exec_driver_sql("select 1")
                    inside.difference_update(mine)
        except BaseException as error:  # noqa: BLE001  shown by the assertion below
            failures.append(error)

    threads = [
        threading.Thread(target=work, args=(names[start::2] + names[: start + 1],))
        for start in range(4)
    ]
    threads.append(threading.Thread(target=work, args=(names[::-1],)))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_ingest_waits_for_no_clerk_but_for_whoever_holds_the_reader(
    opened: Callable[[Role], Store],
) -> None:
    ingest, console = opened(Role.INGEST), opened(Role.CONSOLE)
    with console.write() as outer:
        with ingest.write() as connection:
            lock(connection, "reader", ["a"])
        lock(outer, "reader", ["a"])
        with ingest.write() as connection:
            connection.exec_driver_sql("set local lock_timeout = '50ms'")
            lock(connection, "reader", ["b"])
            with pytest.raises(sa.exc.OperationalError, match="lock timeout"):
                lock(connection, "reader", ["a"])


def test_a_gap_is_not_written_off_while_its_reader_is_taken_in(
    opened: Callable[[Role], Store],
) -> None:
    owner, ingest = opened(Role.OWNER), opened(Role.INGEST)
    with owner.write() as connection:
        _gap(connection)

    def write_off(timeout: str) -> None:
        with owner.write() as connection:
            connection.execute(sa.text(f"set local lock_timeout = '{timeout}'"))
            gaps.write_off(connection, 1, "umi", "scrapped", NOON_MS)

    with ingest.write() as taking:
        lock(taking, "reader", ["t/r"])
        with pytest.raises(sa.exc.OperationalError, match="lock timeout"):
            write_off("50ms")
    write_off("5s")


def _journal(connection: sa.Connection) -> None:
    connection.execute(
        place.insert(),
        {"name": "p", "kind": "bus", "programmes": [], "triage_programmes": []},
    )
    keys = {"fingerprint": "f", "public_key": "", "sealing_public_key": "", "enrolled_at_ms": 1}
    connection.execute(reader.insert(), {"name": "t/r", "place": "p", **keys})
    marks = {"journal": "j", "received_at_ms": 1, "spans": [[2, 2]], "seen": 2}
    connection.execute(journal.insert(), {"reader": "t/r", **marks})


def _gap(connection: sa.Connection) -> None:
    _journal(connection)
    hole = {"journal_id": 1, "first": 1, "last": 1, "missing": 1, "cause": "not-arrived"}
    connection.execute(gap.insert(), {**hole, "opened_at_ms": 1})


# --- who is the only one -------------------------------------------------------------------------

HOLD = """
import sys
from pathlib import Path
from fleet.config import Databases
from fleet.grants import Role
from fleet.workers import sole_worker
with sole_worker(Databases(Path(sys.argv[1]), sys.argv[2]), Role.DISPATCH, "dispatch"):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_worker_is_refused_by_name_until_the_first_is_killed(
    server: Databases, eventually: Eventually
) -> None:
    command = [sys.executable, "-c", HOLD, str(server.state), server.url]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == b"held\n"
        with (
            pytest.raises(StoreUnusable, match=f"kazasu-dispatch .*:{first.pid}"),
            sole_worker(server, Role.DISPATCH, "dispatch"),
        ):
            pass
        with sole_worker(server, Role.INGEST, "another thing"):
            pass
        os.kill(first.pid, signal.SIGKILL)
        first.wait()

    def follows() -> bool:
        try:
            with sole_worker(server, Role.DISPATCH, "dispatch"):
                return True
        except StoreUnusable:
            return False

    eventually(follows, that="the lock of a killed process is free")


def test_several_may_work_together_but_not_beside_one_who_must_be_alone(
    server: Databases,
) -> None:
    with (
        one_worker(server, Role.INGEST, "ingest"),
        one_worker(server, Role.INGEST, "ingest"),
        pytest.raises(StoreUnusable, match="kazasu-ingest"),
        sole_worker(server, Role.OWNER, "ingest"),
    ):
        pass
    with (
        sole_worker(server, Role.OWNER, "ingest"),
        pytest.raises(StoreUnusable, match="kazasu-owner"),
        one_worker(server, Role.INGEST, "ingest"),
    ):
        pass


def test_who_lost_the_connection_knows_that_the_lock_is_lost(
    postgres: Postgres, server: Databases
) -> None:
    with sole_worker(server, Role.DISPATCH, "dispatch") as holding:
        assert not holding.lost()
        with contextlib.closing(postgres.administrator()) as administrator:
            administrator.execute(
                "select pg_terminate_backend(pid, 5000) from pg_stat_activity"
                " where application_name like 'kazasu-dispatch only%'"
            )
        assert holding.lost()
        with sole_worker(server, Role.DISPATCH, "dispatch") as successor:
            assert not successor.lost()
            assert holding.lost()


def test_two_towns_in_one_server_have_nothing_to_do_with_each_other(
    postgres: Postgres, server: Databases, tmp_path: Path
) -> None:
    other = postgres.migrated(tmp_path)
    with (
        sole_worker(server, Role.DISPATCH, "dispatch"),
        sole_worker(other, Role.DISPATCH, "dispatch"),
    ):
        pass
    postgres.drop(other)


# --- a server that comes and goes ----------------------------------------------------------------


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Postgres, Databases]]:
    """A server that may be stopped, with fsync, and one town in it."""
    with start_postgres() as server:
        yield server, server.migrated(tmp_path_factory.mktemp("state"))


def test_a_missing_user_is_named_with_what_to_type(tmp_path: Path) -> None:
    with start_postgres(fsync=False) as server:
        databases = Databases(tmp_path, server.url(server.empty()))
        with contextlib.closing(server.administrator()) as administrator:
            administrator.execute("drop role kazasu_office")
        with pytest.raises(StoreUnusable, match="CREATE ROLE kazasu_office LOGIN"):
            migrate(databases)


def test_an_empty_database_says_what_to_do(postgres: Postgres, tmp_path: Path) -> None:
    databases = Databases(tmp_path, postgres.url(postgres.empty()))
    for open_one in (open_fleet, open_persons):
        with pytest.raises(StoreUnusable, match="kazasu-fleet init"):
            open_one(databases, Role.INGEST)
    postgres.drop(databases)


@pytest.mark.parametrize("how", ["fast", "immediate"])
def test_a_restart_between_two_transactions_is_not_even_noticed(
    own: tuple[Postgres, Databases], how: str
) -> None:
    server, databases = own
    store = open_fleet(databases, Role.OWNER)
    with store.read() as one, store.read() as two:  # two connections that then lie in the pool
        one.exec_driver_sql("select 1")
        two.exec_driver_sql("select 1")
    note(store, f"before {how}")
    server.restart(how)
    note(store, f"after {how}")
    assert {f"before {how}", f"after {how}"} <= noted(store)
    store.close()


def test_a_restart_inside_a_transaction_is_one_error_and_leaves_nothing(
    own: tuple[Postgres, Databases],
) -> None:
    server, databases = own
    store = open_fleet(databases, Role.OWNER)

    def break_off(*after: str) -> None:
        with store.write() as connection:
            _note(connection, "half")
            server.restart()
            for what in after:
                _note(connection, what)

    with pytest.raises(sa.exc.OperationalError):
        break_off("never")
    with pytest.raises(sa.exc.OperationalError):
        break_off()  # only the commit notices
    assert not {"half", "never"} & noted(store)
    store.close()


def test_while_the_server_is_away_each_try_is_the_same_error(
    own: tuple[Postgres, Databases],
) -> None:
    server, databases = own
    store = open_fleet(databases, Role.OWNER)
    server.stop()
    for _ in range(2):
        with pytest.raises(sa.exc.OperationalError):
            noted(store)
        with pytest.raises(sa.exc.OperationalError):
            note(store, "never")
    with (
        pytest.raises(StoreUnusable, match="cannot be reached"),
        sole_worker(databases, Role.DISPATCH, "dispatch"),
    ):
        pass
    server.start()
    assert "never" not in noted(store)
    store.close()


def test_each_process_has_a_name_and_a_user_of_its_own(
    postgres: Postgres, opened: Callable[[Role], Store]
) -> None:
    for role in Role:
        with opened(role).read() as connection:
            user, name = connection.exec_driver_sql(
                "select current_user, current_setting('application_name')"
            ).one()
        assert user == user_of(role)
        assert name.startswith(f"kazasu-{role} fleet ")
        assert name.endswith(f":{os.getpid()}")


# --- what an error tells --------------------------------------------------------------------------


@pytest.fixture
def office_on_server(server: Databases) -> Iterator[Store]:
    opened = open_persons(server, Role.OFFICE)
    yield opened
    opened.close()


def _statement(connection: sa.Connection) -> None:
    connection.execute(sa.text("INSERT INTO person (name) VALUES (:name)"), {"name": NAME})


def _copied(connection: sa.Connection) -> None:
    names = ("id", "name", "kana", "birth_date", "updated_at_ms")
    bulk.append(connection, person, names, [(1, NAME, None, None, 1)] * 1000)


def _run(connection: sa.Connection) -> None:
    statements.run(connection, "INSERT INTO person (name) VALUES (%s)", [NAME])


def _no_number(connection: sa.Connection) -> None:
    connection.execute(sa.text("SELECT CAST(:name AS bigint)"), {"name": NAME})


@pytest.mark.parametrize("fail", [_statement, _copied, _run, _no_number])
def test_an_error_of_the_server_names_no_persons_values(
    office_on_server: Store, fail: Callable[[sa.Connection], None]
) -> None:
    with office_on_server.write() as connection:
        with pytest.raises(sa.exc.DBAPIError, match=r"SQLSTATE 2[23]") as failed:
            fail(connection)
        connection.rollback()
    told = "".join(traceback.format_exception(failed.value)) + str(failed.value.orig)
    assert NAME not in told
