"""The account of a demo as text: whole lines in columns, whatever the output is."""

import io

from rich.console import Console

from hw.sim.account import Account
from hw.sim.latency import latencies
from hw.sim.report import Findings, Identity, OpenGap, Seen, Sighting
from hw.sim.summary import account
from wire.codes import Code, Outcome

SEEN_ONE = Sighting(
    Identity("kazasu-shi/bus-1", "ab" * 16, 1), Outcome.ACCEPTED, Code.OK, 80.0, {"host": 2000}
)
GAP = OpenGap(7, "kazasu-shi/bus-1", "ab" * 16, 4, 6, 3, "declared-lost")


def printed(given: Account) -> list[str]:
    """As into a pipe, where rich takes 80 columns for the width."""
    pipe = io.StringIO()
    console = Console(file=pipe, width=80, highlight=False, soft_wrap=True)
    for line in account("a day", given, 10, whole=True):
        console.print(line)
    return pipe.getvalue().splitlines()


def given(*sightings: Sighting, gaps: list[OpenGap] | None = None) -> Account:
    found = Findings(4660, 4660, 44, open_gaps=gaps or [], codes=dict.fromkeys(Code, 12))
    events = ["06:50 killed bus-2/tap, bus-2/link", "07:00 cut school-1 off for 30 s"]
    seen = Seen(people=3000, presentations=36200, sightings=sightings, events=events)
    return Account(seen, found, latencies(sightings), found.faults())


def test_no_line_is_cut_or_folded_and_names_stand_before_their_first_line_only() -> None:
    lines = printed(given(SEEN_ONE))
    assert any(line.endswith("36200 presentations of a card, 0 without an answer in time")
               for line in lines)  # fmt: skip
    assert all(any(line.endswith(f"12 {code}") for line in lines) for code in Code)
    first = next(n for n, line in enumerate(lines) if line.startswith("  kills and cuts"))
    assert lines[first].index("06:50") == lines[first + 1].index("07:00")
    assert lines[first + 1].startswith("   ")
    assert not any(line.endswith(" ") for line in lines)


def test_the_columns_of_times_are_aligned() -> None:
    lines = printed(given(SEEN_ONE))
    head = next(n for n, line in enumerate(lines) if line.startswith("  real ms"))
    assert {len(line) for line in lines[head : head + 3]} == {len(lines[head])}
    assert any("p95 < 120 ms met (80.0 ms), for information" in line for line in lines)


def test_without_a_time_there_is_a_sentence_and_no_empty_table() -> None:
    lines = printed(given())
    assert not any(line.startswith("  real ms") for line in lines)
    assert any("nobody held a card" in line for line in lines)


def test_gaps_of_the_books_and_gaps_of_the_fleet_are_both_named() -> None:
    lines = printed(given(SEEN_ONE, gaps=[GAP]))
    assert "  gaps              0 numbers missing in the ledger, 1 gaps open at the fleet" in lines
    assert f"{'':20}{GAP}" in lines
    assert "THE BOOKS DO NOT BALANCE" in lines
