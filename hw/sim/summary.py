"""What a person reads of a demo: the live picture while it runs, the report when it is over."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from hw.sim.account import Account
from hw.sim.report import Findings, Latency, Seen
from hw.sim.timetable import clock_text
from wire.codes import Outcome

EVENTS_SHOWN: Final = 3
UNEXPECTED_SHOWN: Final = 10


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


def account(title: str, given: Account, *, whole: bool) -> RenderableType:
    """Draw the account of a demo: all of it, or its verdict alone."""
    verdict = _verdict(given)
    if not whole:
        return verdict
    parts: list[RenderableType] = [
        Text(f"\n{title}", style="bold"),
        _counts(given.seen, given.found),
        Text(),
        _latencies(given.latencies),
        Text(),
    ]
    if unexpected := given.seen.unexpected:
        parts.append(Text(f"answers that a card should not have got: {len(unexpected)}"))
        parts += [Text(f"  {sentence}") for sentence in unexpected[:UNEXPECTED_SHOWN]]
    return Group(*parts, verdict)


def _verdict(given: Account) -> RenderableType:
    if not given.faults:
        said = "Nothing lost, nothing counted twice: the ledger is the journals, entry by entry."
        return Text(said, style="bold green")
    return Group(
        Text("THE BOOKS DO NOT BALANCE", style="bold red"),
        *(Text(f"  {fault}", style="red") for fault in given.faults),
    )


def _counts(seen: Seen, found: Findings) -> RenderableType:
    table = Table(box=None, show_header=False, padding=(0, 1))
    outcomes = found.outcomes
    refused = ", ".join(f"{code} {times}" for code, times in sorted(found.codes.items()))
    presses = ", ".join(f"{button} {times}" for button, times in sorted(found.presses.items()))
    rows = {
        "people": f"{seen.people}, {seen.presentations} presentations of a card, "
        f"{seen.without_answer} without an answer in time",
        "accepted": str(outcomes.get(Outcome.ACCEPTED, 0)),
        "refused": f"{outcomes.get(Outcome.REFUSED, 0)}" + (f"  ({refused})" if refused else ""),
        "repeats": str(outcomes.get(Outcome.REPEAT, 0)),
        "driver's buttons": presses or "none",
        "journals": f"{found.in_journals} entries in {found.journals} journals",
        "ledger": f"{found.in_ledger} entries; lost {len(found.lost)}, changed "
        f"{len(found.changed)}, foreign {len(found.foreign)}, twice {len(found.twice)}",
        "gaps": f"{len(found.gaps)} numbers",
        "seen by people": f"{len(seen.sightings)} sentences; not in the ledger as seen "
        f"{len(found.unkept)}, booked twice in the repeat window {len(found.doubled)}",
        "kills and cuts": "\n".join(seen.events) or "none",
    }
    for name, value in rows.items():
        table.add_row(name, Text(value))
    return table


def _latencies(latencies: Sequence[Latency]) -> RenderableType:
    table = Table(box=None, padding=(0, 1), header_style="bold")
    table.add_column("real ms")
    for name in ("times", "p50", "p95", "p99"):
        table.add_column(name, justify="right")
    for row in latencies:
        times = (f"{value:.1f}" for value in (row.p50, row.p95, row.p99))
        table.add_row(row.stage, str(row.times), *times)
    return table
