"""What a person reads of a demo: the live picture while it runs, the report when it is over."""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from hw.sim.account import Account
from hw.sim.latency import Latency, goal_lines
from hw.sim.report import Findings, Seen
from hw.sim.timetable import clock_text
from wire.codes import Outcome

EVENTS_SHOWN: Final = 3
UNEXPECTED_SHOWN: Final = 10
GAPS_SHOWN: Final = 10
NAME_WIDTH: Final = 18
"""Of the widest name of a count, and two blanks."""


class ReaderLine(NamedTuple):
    """One reader, now."""

    place: str
    state: str
    """A word: ready, not ready, dark (its page does not answer), cut."""
    people: int
    queue: int
    accepted: int
    refused: int
    repeats: int
    waiting: int | None
    """Entries that the fleet has not acknowledged; None while the page is dark."""
    sentence: str


class Picture(NamedTuple):
    """The town, now."""

    at_ms: int
    people: int
    still_to_come: int
    in_ledger: int | None
    readers: Sequence[ReaderLine]
    events: Sequence[str]


_COLOURS: Final = {"ready": "green", "cut": "yellow", "dark": "red", "not ready": "red"}


def live(picture: Picture) -> RenderableType:
    """Draw the picture, to be drawn again over itself."""
    table = Table(box=None, padding=(0, 1), header_style="bold")
    for name in ("reader", "state"):
        table.add_column(name, no_wrap=True)
    for name in ("people", "queue", "accepted", "refused", "repeat", "waiting"):
        table.add_column(name, justify="right")
    table.add_column("last sentence", no_wrap=True, overflow="ellipsis")
    for line in picture.readers:
        counts = (line.people, line.queue, line.accepted, line.refused, line.repeats)
        table.add_row(
            line.place,
            Text(line.state, style=_COLOURS.get(line.state, "")),
            *map(str, counts),
            "–" if line.waiting is None else str(line.waiting),
            line.sentence,
        )
    return Group(Text(head(picture), style="bold"), table, *picture.events[-EVENTS_SHOWN:])


def head(picture: Picture) -> str:
    """The picture in one line, also for an output that is no terminal."""
    waiting = sum(line.waiting or 0 for line in picture.readers)
    ledger = "–" if picture.in_ledger is None else str(picture.in_ledger)
    return (
        f"{clock_text(picture.at_ms)}  {picture.people} people served, "
        f"{picture.still_to_come} to come · ledger {ledger} entries, {waiting} waiting on readers"
    )


def account(title: str, given: Account, card_ms: float, *, whole: bool) -> list[Text]:
    """Write the account of a demo, a line each: all of it, or its verdict alone.

    Lines are whole wherever they go: nothing is cut or folded to a terminal's width.
    """
    if not whole:
        return _verdict(given)
    lines = [Text(), Text(title, style="bold"), *map(Text, _counts(given.seen, given.found))]
    lines += [Text(), *_latencies(given.latencies, card_ms), Text()]
    if unexpected := given.seen.unexpected:
        lines.append(Text(f"answers that a card should not have got: {len(unexpected)}"))
        lines += [Text(f"  {sentence}") for sentence in unexpected[:UNEXPECTED_SHOWN]]
    return lines + _verdict(given)


def _verdict(given: Account) -> list[Text]:
    if not given.faults:
        said = "Nothing lost, nothing counted twice: the ledger is the journals, entry by entry."
        return [Text(said, style="bold green")]
    faults = [Text(f"  {fault}", style="red") for fault in given.faults]
    return [Text("THE BOOKS DO NOT BALANCE", style="bold red"), *faults]


def _counts(seen: Seen, found: Findings) -> Iterator[str]:
    """The name of a count stands before its first line only."""
    outcomes = found.outcomes
    rows = {
        "people": [
            f"{seen.people}, {seen.riders} more in taxis, "
            f"{seen.presentations} presentations of a card, "
            f"{seen.without_answer} without an answer in time"
        ],
        "accepted": [str(outcomes.get(Outcome.ACCEPTED, 0))],
        "refused": [
            str(outcomes.get(Outcome.REFUSED, 0)),
            *(f"{times:>4} {code}" for code, times in sorted(found.codes.items())),
        ],
        "repeats": [str(outcomes.get(Outcome.REPEAT, 0))],
        "driver's buttons": [f"{button} {n}" for button, n in sorted(found.presses.items())],
        "marks": [
            f"{reader.partition('/')[2]}: "
            + ", ".join(f"{word} {times}" for word, times in sorted(told.items()))
            for reader, told in sorted(found.marks.items())
        ],
        "rides": [
            f"{reader.partition('/')[2]}: {one.rides}, of which {one.taken_back} taken back; "
            f"the city pays {one.subsidy_yen:,} yen"
            for reader, one in sorted(found.rides.items())
        ],
        "journals": [f"{found.in_journals} entries in {found.journals} journals"],
        "ledger": [
            f"{found.in_ledger} entries; lost {len(found.lost)}, changed {len(found.changed)}, "
            f"foreign {len(found.foreign)}, twice {len(found.twice)}"
        ],
        "gaps": [
            f"{len(found.gaps)} numbers missing in the ledger, "
            f"{len(found.open_gaps)} gaps open at the fleet",
            *map(str, found.open_gaps[:GAPS_SHOWN]),
        ],
        "seen by people": [
            f"{len(seen.sightings)} sentences; not in the ledger as seen {len(found.unkept)}, "
            f"booked twice in the repeat window {len(found.doubled)}"
        ],
        "kills and cuts": list(seen.events),
    }
    for name, values in rows.items():
        for number, value in enumerate(values or ["none"]):
            yield f"  {'' if number else name:<{NAME_WIDTH}}{value}"


def _latencies(found: Sequence[Latency], card_ms: float) -> list[Text]:
    if not found:
        return [Text("No times: nobody held a card long enough to see an answer.")]
    width = max(len(row.stage) for row in found)
    head = f"  {'real ms':<{width}}{'times':>8}{'p50':>8}{'p95':>8}{'p99':>8}"
    rows = [
        f"  {row.stage:<{width}}{row.times:>8}{row.p50:>8.1f}{row.p95:>8.1f}{row.p99:>8.1f}"
        for row in found
    ]
    goals = (f"  {line}, for information" for line in goal_lines(found, card_ms))
    return [Text(head, style="bold"), *map(Text, rows), *map(Text, goals)]
