"""What a month of taxis came to: drivers, journals, ledger and claims say the same, to the yen.

The truth is worked out here from what drivers were told and what lies on the readers' cards, in
plain sums, and compared with what the fleet says by its own tables and functions.
"""

import datetime
from collections import Counter
from typing import Any, Final, NamedTuple

from fleet import evidence_db, usage
from fleet.claims import Asked, make
from fleet.evidence_db import Scope
from fleet.proof import prove
from programmes.calendar import fiscal_year_of, local_day
from tests.fleet.virtual import pinned_key
from tests.soak.agent import Ref
from tests.soak.cab import TAXI
from tests.soak.taxi_town import company_of
from tests.soak.taxi_world import FIRST, World
from wire.codes import Outcome
from wire.entries import Cancel, Entry, Ride, decode

PER_DAY: Final = 2
PER_YEAR: Final = 70
ROWS: Final = """
    select j.journal, r.n, r.kind, r.of_id, r.id, r.organisation, r.subsidy_yen
    from ride r join journal j on j.id = r.journal_id order by r.id
"""
FINDINGS: Final = """
    select j.journal, f.n, f.kind from finding f join journal j on j.id = f.journal_id
"""
Yen = dict[str, int]
"""By company."""


class Found(NamedTuple):
    """What all agree on."""

    entries: int
    """In the ledger, none lost and none twice."""
    recovered: int
    """From a dead tablet's card."""
    written_off: int
    companies: int
    yen: int
    """Told to drivers, in journals, in the ledger, and claimed."""
    over: int
    """Rides over an allowance, in truth and as the ledger lists them."""


def judge(world: World) -> Found:
    """Compare everything. Raises AssertionError where something is not right."""
    entries = {ref: decode(body) for ref, body in world.written.items()}
    kept = {ref: entry for ref, entry in entries.items() if ref not in world.gone}
    _same_entries(world)
    told, journals, ledger = _told(world), _in_journals(world, kept), _in_ledger(world)
    assert told == journals, _apart(told, journals)
    assert journals == ledger, _apart(journals, ledger)
    claimed = _claimed(world)
    assert ledger == claimed, _apart(ledger, claimed)
    over = _over_use(world, kept)
    gone, yen = len(world.gone), sum(claimed.values())
    return Found(len(kept), len(world.recovered), gone, len(claimed), yen, over)


def _same_entries(world: World) -> None:
    """The ledger is the journals, but for what was destroyed; whole and proven."""
    fleet = world.fleet
    expected = {ref: body for ref, body in world.written.items() if ref not in world.gone}
    assert fleet.stored() == expected, "the ledger is not the journals"
    for table in ("conflict", "quarantine", "gap where closed_at_ms is null"):
        assert fleet.rows(f"select * from {table}") == [], table
    assert fleet.alarms() <= {"history-lost", "gap"}, fleet.alarms()
    others = fleet.rows("select kind, n, code from finding where kind <> 'allowance'")
    assert others == [], others[:5]
    with fleet.store.read() as connection:
        assert usage.check(connection) == [], "usage is not the sum of the rides"
        facts = evidence_db.facts(connection, fleet.config.tenant, Scope())
        proof = prove(facts, pinned_key(fleet.town))
    assert proof.faults == {}, proof.faults_listed


def _told(world: World) -> Yen:
    found: Counter[str] = Counter()
    for told in world.told.values():
        found[told.company] += told.subsidy_yen
    return dict(found)


def _in_journals(world: World, entries: dict[Ref, Entry]) -> Yen:
    """Return the sum of the rides on the readers' cards that no later entry takes back."""
    of_journal = dict(world.fleet.rows("select journal, reader from journal"))
    company = {
        cab.virtual.name: company_of(world.size, taxi) for taxi, cab in enumerate(world.cabs)
    }
    taken = {(one.of_journal, one.of_n) for one in entries.values() if isinstance(one, Cancel)}
    found: Counter[str] = Counter()
    for ref, entry in entries.items():
        if isinstance(entry, Ride) and ref not in taken:
            found[company[of_journal[ref[0]]]] += entry.subsidy_yen
    return dict(found)


def _in_ledger(world: World) -> Yen:
    rows = world.fleet.rows("select organisation, sum(subsidy_yen) from ride group by organisation")
    return {company: int(yen) for company, yen in rows}


def _claimed(world: World) -> Yen:
    """Let every company claim the month, and add up what the claims say."""
    until = FIRST + datetime.timedelta(world.size.days - 1)
    at_ms = world.fleet.clock.at_ms
    companies = {company_of(world.size, taxi) for taxi in range(world.size.taxis)}
    with world.fleet.store.write() as connection:
        for company in sorted(companies):
            make(connection, Asked(TAXI, company, until), None, "soak", at_ms)
    rows = world.fleet.rows("select organisation, subsidy_yen from claim")
    return {company: int(yen) for company, yen in rows}


def _apart(one: Yen, other: Yen) -> list[tuple[str, int, int]]:
    every = sorted(one.keys() | other.keys())
    return [(c, one.get(c, 0), other.get(c, 0)) for c in every if one.get(c, 0) != other.get(c, 0)]


def _over_use(world: World, entries: dict[Ref, Entry]) -> int:
    """Compare what the ledger lists as over an allowance with a plain count; return how many.

    A finding on a tap is another thing: a reader refused whom the ledger would have let on, since a
    ride had been taken back of which the reader had not heard.
    """
    found = {(journal, n) for journal, n, _ in world.fleet.rows(FINDINGS)}
    listed = {ref for ref in found if isinstance(entries[ref], Ride)}
    used: Counter[tuple[str, str]] = Counter()
    by_row: dict[int, Ride] = {}
    over: set[Ref] = set()
    for journal, n, kind, of_id, row_id, *_ in world.fleet.rows(ROWS):
        ride = entries[journal, n] if kind == "ride" else by_row[of_id]
        assert isinstance(ride, Ride)
        if ride.outcome is not Outcome.ACCEPTED:
            continue
        by_row[row_id] = ride
        keys = [key for rider in ride.riders for key in _keys(rider.credential, ride)]
        is_over = kind == "ride" and any(used[key] >= _limit(key) for key in keys)
        if is_over:
            over.add((journal, n))
        used.update(keys) if kind == "ride" else used.subtract(keys)
    assert over == listed, (len(over), len(listed), sorted(over ^ listed)[:5])
    return len(over)


def _keys(card: str, ride: Ride) -> list[tuple[str, str]]:
    day, year = local_day(ride.boarded_at_ms), fiscal_year_of(ride.boarded_at_ms)
    return [(card, day.isoformat()), (card, str(year))]


def _limit(key: tuple[str, Any]) -> int:
    return PER_DAY if "-" in key[1] else PER_YEAR
