"""Months past their time: gone whole, with a signed line, and what stays is proven as before."""

import contextlib
import datetime
import itertools
from typing import Any

import pytest
import sqlalchemy as sa

from fleet import retention
from fleet.books import read_signing_key
from fleet.retention import RetentionRefused
from fleet.verdict import RetiredMonth
from programmes.calendar import start_of_day_ms
from tests.fleet.test_proof import judged, tamper
from tests.fleet.virtual import Journal, VirtualFleet, VirtualReader, pinned_key
from wire.codes import Code
from wire.envelope import Purpose, Signer, open_envelope

HALF_S = 15 * 24 * 3600


def send(fleet: VirtualFleet, reader: VirtualReader, journal: Journal, taps: int) -> None:
    """Write some rides and send them, together."""
    first = len(journal.entries) + 1
    for _ in range(taps):
        journal.tap(code=Code.OK, rider_pays_yen=50, at_ms=fleet.clock.at_ms)
    fleet.through((reader, journal.batch(1 if first == 2 else first, len(journal.entries))))


def years(fleet: VirtualFleet, months: int = 18) -> tuple[VirtualReader, list[Journal]]:
    """Month after month from June 2026 a reader's journals, each over the end of a month.

    The second reader has one journal all the time.
    """
    bus, other = fleet.reader("bus-1"), fleet.reader("bus-2")
    long = other.journal()
    journals = [bus.journal()]
    for number in range(months):
        journal = journals[-1]
        send(fleet, bus, journal, 3)
        send(fleet, other, long, 2)
        fleet.clock.at_ms = start_of_day_ms(_month(number + 1))
        send(fleet, bus, journal, 2)
        journals.append(bus.journal(journal.former, fleet.clock.at_ms))
        fleet.clock.pass_s(HALF_S)
    send(fleet, bus, journals[-1], 1)
    return bus, journals


def _month(number: int) -> datetime.date:
    return datetime.date(2026 + (5 + number) // 12, (5 + number) % 12 + 1, 1)


def retire(fleet: VirtualFleet, *more: str) -> int:
    return fleet.command("retention", "run", *more)


def kept(fleet: VirtualFleet) -> set[str]:
    """The months of receipt that entries are left of."""
    zone = datetime.timezone(datetime.timedelta(hours=9))
    return {
        datetime.datetime.fromtimestamp(at_ms / 1000, zone).strftime("%Y-%m")
        for (at_ms,) in fleet.rows("select distinct received_at_ms from entry")
    }


def lines(fleet: VirtualFleet) -> list[RetiredMonth]:
    rows = fleet.rows("select line from retired_month order by month")
    key = pinned_key(fleet.town)
    return [
        open_envelope(bytes(line), Purpose.RETIRED_MONTH, "kazasu-shi", key, RetiredMonth)
        for (line,) in rows
    ]


def test_months_past_their_time_go_and_all_that_stays_is_proven(fleet: VirtualFleet) -> None:
    years(fleet)
    before = judged(fleet)
    stored = fleet.stored()
    assert before.verdict == "proven"
    assert fleet.command("retention", "set", "13", "文書管理規則 第5条") == 0
    assert retire(fleet, "--dry-run") == 0
    assert fleet.stored() == stored
    assert retire(fleet) == 0
    gone = lines(fleet)
    assert [one.month for one in gone] == ["2026-06", "2026-07", "2026-08", "2026-09", "2026-10"]
    assert min(kept(fleet)) == "2026-11"
    left = fleet.stored()
    assert left.items() <= stored.items()
    assert sum(one.entries for one in gone) == len(stored) - len(left)
    after = judged(fleet)
    assert (after.verdict, after.faults) == ("proven", {})
    assert after.entries + after.entries_retired == before.entries
    assert after.tips[0].tip == before.tips[0].tip
    sums = [one.sums["senior-pass"] for one in gone] + [after.sums["senior-pass"]]
    assert sum(one.accepted for one in sums) == before.sums["senior-pass"].accepted
    assert sum(one.rider_pays_yen for one in sums) == before.sums["senior-pass"].rider_pays_yen
    positions = [(one.first_position, one.last_position) for one in gone]
    assert all(a[1] < b[0] for a, b in itertools.pairwise(positions))
    assert fleet.rows("select months from retention") == [(13,)]
    assert retire(fleet) == 0
    assert len(lines(fleet)) == 5


@pytest.mark.parametrize("change", ["entries = entries + 1", "at_ms = at_ms + 1", "who = 'x'"])
def test_columns_beside_a_months_line_say_what_was_signed(fleet: VirtualFleet, change: str) -> None:
    bus, journals = years(fleet, 2)
    fleet.clock.at_ms = start_of_day_ms(datetime.date(2032, 6, 1))
    send(fleet, bus, journals[-1], 1)
    assert retire(fleet) == 0
    assert judged(fleet).verdict == "proven"
    with fleet.store.write() as connection:
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql("alter table retired_month disable trigger user")
        else:
            connection.exec_driver_sql("drop trigger if exists retired_month_no_update")
        changed = connection.execute(
            sa.text(f"update retired_month set {change} where month = '2026-06'")
        )
        assert changed.rowcount == 1
    proof = judged(fleet)
    assert proof.faults == {"retired-unlike": 1}
    assert proof.faults_listed[0].detail == f"2026-06: {change.split(maxsplit=1)[0]}"


def test_what_belongs_to_a_month_goes_with_it(fleet: VirtualFleet) -> None:
    bus, journals = years(fleet, 3)
    fleet.take(bus.raw(b"nobody vouches for this"))
    odd = bus.journal(journals[-1].former, fleet.clock.at_ms)
    odd.write_bytes(b'{"kind":"of a later version"}')
    odd.tap()
    fleet.through((bus, odd.all()))
    other = Journal(odd.reader, odd.id)
    for one in odd.entries[:2]:
        other.write_bytes(one.body)
    other.tap(mono_ms=77)
    fleet.through((bus, other.batch(1, 3)))
    assert len(fleet.rows("select * from conflict")) == 1
    assert len(fleet.rows("select * from quarantine")) == 2
    fleet.clock.at_ms = start_of_day_ms(datetime.date(2032, 6, 1))
    send(fleet, bus, bus.journal(odd.former, fleet.clock.at_ms), 1)
    assert judged(fleet).exceptions["quarantine"] == 1
    assert retire(fleet) == 1
    assert len(fleet.rows("select * from quarantine")) == 2
    assert retire(fleet, "--yes") == 0
    for table in ("conflict", "quarantine", "finding"):
        assert fleet.rows(f"select * from {table}") == []
    after = judged(fleet)
    assert after.verdict == "exceptions"
    assert set(after.exceptions) == {"retired-forced"}
    assert [one.forced for one in lines(fleet)] == [False, False, False, True]


def test_nothing_open_goes_without_a_persons_word(
    fleet: VirtualFleet, capsys: pytest.CaptureFixture[str]
) -> None:
    bus = fleet.reader("bus-1")
    journal = bus.journal().taps(9)
    fleet.through((bus, journal.batch(1, 3)), (bus, journal.batch(4, 10, lost=2)))
    fleet.clock.at_ms = start_of_day_ms(datetime.date(2032, 6, 1))
    journal.tap()
    fleet.through((bus, journal.batch(11, 11)))
    stored = fleet.stored()
    assert retire(fleet) == 1
    assert "gap 1 of kazasu-shi/bus-1 is open" in capsys.readouterr().err
    assert fleet.stored() == stored
    assert fleet.command("gaps", "write-off", "1", "SDカード交換") == 0
    assert retire(fleet) == 0
    assert judged(fleet).faults == {}
    assert len(fleet.stored()) == 1


def test_neither_the_present_month_nor_the_newest_entry_goes(fleet: VirtualFleet) -> None:
    years(fleet, 2)
    fleet.clock.at_ms = start_of_day_ms(datetime.date(2040, 1, 1))
    assert retire(fleet) == 0
    assert kept(fleet) == {"2026-08"}
    with fleet.store.write() as connection:
        found = retention.survey(connection, datetime.date(2026, 8, 1))
        signer = Signer(read_signing_key(fleet.config.signing_key))
        with pytest.raises(RetentionRefused):
            retention.retire(
                connection, found, "kazasu-shi", signer, "test", fleet.clock.at_ms, forced=True
            )


def test_a_chain_that_does_not_hold_keeps_its_month(fleet: VirtualFleet) -> None:
    years(fleet, 2)
    tamper(fleet, "update entry set hash = :other where position = 2", other=bytes(32))
    fleet.clock.at_ms = start_of_day_ms(datetime.date(2040, 1, 1))
    stored = fleet.stored()
    assert retire(fleet) == 1
    assert fleet.stored() == stored


@pytest.mark.parametrize(
    ("forgery", "found"),
    [
        ("update retired_journal set after = :x where first = 1", "retired-differs"),
        ("update retired_journal set last = 4 where first = 1", "retired-differs"),
        ("delete from retired_journal where month = '2026-06'", "entries-missing"),
        ("delete from retired_reader where month = '2026-06'", "retired-signature"),
        ("update retired_month set line = :x where month = '2026-06'", "retired-signature"),
        ("update journal set former_n = 2 where former_n is not null", "unlike"),
    ],
)
def test_a_line_of_a_dropped_month_cannot_be_changed_unseen(
    fleet: VirtualFleet, forgery: str, found: str
) -> None:
    years(fleet, 15)
    assert fleet.command("retention", "set", "13", "規則") == 0
    assert retire(fleet) == 0
    assert judged(fleet).verdict == "proven"
    tables = ("retired_journal", "retired_reader", "retired_month")
    with fleet.store.write() as connection:
        for table in tables:
            if connection.dialect.name == "postgresql":
                connection.exec_driver_sql(f"alter table {table} disable trigger user")
            else:
                connection.exec_driver_sql(f"drop trigger {table}_no_update")
                connection.exec_driver_sql(f"drop trigger {table}_no_delete")
        values: dict[str, Any] = {"x": bytes(32)} if ":x" in forgery else {}
        assert connection.execute(sa.text(forgery), values).rowcount > 0
    proof = judged(fleet)
    assert proof.verdict == "broken"
    assert found in proof.faults


def test_an_entry_of_a_dropped_month_that_comes_again_is_not_counted_again(
    fleet: VirtualFleet,
) -> None:
    bus, journals = years(fleet, 15)
    assert fleet.command("retention", "set", "13", "規則") == 0
    assert retire(fleet) == 0
    stored = fleet.stored()
    old = journals[0]
    assert fleet.through((bus, old.all())) == [len(old.entries)]
    assert fleet.stored() == stored
    assert judged(fleet).verdict == "proven"


@pytest.mark.parametrize("months", [0, 12, 1201])
def test_retention_has_bounds(fleet: VirtualFleet, months: int) -> None:
    assert fleet.command("retention", "set", str(months), "規則") == 1
    assert fleet.rows("select * from retention") == []


def test_a_month_that_changed_while_it_was_read_stays(fleet: VirtualFleet) -> None:
    years(fleet, 2)
    now_ms = start_of_day_ms(datetime.date(2040, 1, 1))
    with fleet.store.read() as connection:
        found = retention.survey(connection, datetime.date(2026, 6, 1))
    signer = Signer(read_signing_key(fleet.config.signing_key))
    changed = found._replace(entries=found.entries - 1)
    with pytest.raises(RetentionRefused, match="changed"), fleet.store.write() as connection:
        retention.retire(connection, changed, "kazasu-shi", signer, "test", now_ms)
    assert fleet.rows("select * from retired_month") == []


def test_a_transaction_that_does_not_end_leaves_the_month_and_its_refusal(
    fleet: VirtualFleet,
) -> None:
    years(fleet, 2)
    stored = fleet.stored()
    now_ms = start_of_day_ms(datetime.date(2040, 1, 1))
    signer = Signer(read_signing_key(fleet.config.signing_key))
    with contextlib.suppress(RuntimeError), fleet.store.write() as connection:
        found = retention.survey(connection, datetime.date(2026, 6, 1))
        retention.retire(connection, found, "kazasu-shi", signer, "test", now_ms)
        assert connection.execute(sa.text("select count(*) from retired_month")).scalar_one() == 1
        raise RuntimeError("cut")
    assert fleet.stored() == stored
    assert fleet.rows("select * from retired_month") == []
    with pytest.raises(sa.exc.DatabaseError), fleet.store.write() as connection:
        connection.exec_driver_sql("delete from entry")
