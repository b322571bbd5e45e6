"""From the cab to the claim: what readers send and the ledger takes in is claimed to the yen."""

import datetime
from pathlib import Path

from fleet import claim_check, claim_lines, claims
from fleet.claims import Asked
from fleet.config import Databases
from programmes.calendar import start_of_day_ms
from tests.fleet.ride_kit import TAXI, A, B, a_cancel, a_ride, taxi_fleet

TODAY_MS = start_of_day_ms(datetime.date(2026, 7, 1), 9)
ASKED = Asked(TAXI, "kita-taxi", datetime.date(2026, 6, 30))


def test_what_a_reader_sends_is_claimed_and_matches_its_entry(
    databases: Databases, tmp_path: Path
) -> None:
    fleet = taxi_fleet(tmp_path, databases.url)
    reader = fleet.reader("taxi-1")
    journal = reader.journal()
    journal.write(a_ride(2, A, driver="7"))
    journal.write(a_ride(3, A, B, driver="7"))
    journal.write(a_ride(4, B, subsidy_yen=400))
    journal.write(a_cancel(5, journal.id, 4))
    fleet.take(reader.message(journal.all()))
    with fleet.store.write() as connection:
        number = claims.make(connection, ASKED, None, "mika", TODAY_MS)
    with fleet.store.read() as connection:
        one = claims.load(connection, number)
        assert one is not None
        checked = claim_check.check(connection, one)
        waiting = claim_lines.unclaimed(connection, *ASKED)
    assert (one.lines, one.subsidy_yen, waiting) == (4, 500 + 1_000, [])
    by_entry = {(each.line.kind, each.line.n): each.troubles for each in checked}
    assert by_entry == {
        ("ride", 2): (),
        ("ride", 3): (),
        ("ride", 4): (claim_check.Trouble.RULE,),
        ("taken-back", 5): (),
    }
    fleet.close()
