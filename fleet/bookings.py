"""Each card's last booking at each reader, remembered while this worker alone hears the reader.

Rules: what is remembered of a reader is believed only where its journal stands just as this worker
left it (journal, number and hash), so another worker's entries are never missed; else, and for
the time before this worker began to listen, the ledger is asked; what is remembered has a limit.
"""

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from fleet import ledger
from fleet.findings import Names
from fleet.plain import Plan
from fleet.reconcile import Last, looks_back_ms
from wire.entries import Tap

READERS_MAX: Final = 2_000
"""Readers that a worker remembers: those heard longest ago are forgotten first."""
CARDS_MAX: Final = 500
"""Cards of one reader; 2,000 readers with all of them are about 200 MB, with 30 a bus 12."""


@dataclass(slots=True)
class _Kept:
    """What is remembered of one reader."""

    journal: str
    seen: int
    hash: bytes | None
    since_ms: int
    """Every booking from here on, by the reader's clock, is in `last`."""
    last: dict[str, Last]


class Bookings:
    """Remembers last bookings across groups. Not for several threads."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, _Kept] = OrderedDict()

    def begin(
        self, connection: sa.Connection, plans: Sequence[Plan], names: Names
    ) -> Mapping[str, dict[str, Last]]:
        """Return by reader the last bookings that its taps in this group may rest on.

        Whoever judges the group carries them on (`reconcile.History`). `names`: as there.
        """
        found: dict[str, dict[str, Last]] = {}
        asking: list[tuple[str, Sequence[Tap]]] = []
        for reader, some in _by_reader(plans).items():
            taps = [tap for one in some for tap in one.opened.taps]
            kept = self._kept.pop(reader, None)
            if kept is None or not _goes_on(kept, some[0]):
                kept = _Kept("", 0, None, _from_here_on(some[0], taps), {})
            since_ms = min((tap.at_ms - looks_back_ms(tap) for tap in taps), default=0)
            if taps and kept.since_ms > since_ms:
                asking.append((reader, taps))
            _forget(kept, since_ms)
            end = some[-1].state
            kept.journal, kept.seen, kept.hash = end.journal, end.seen, end.seen_hash
            self._kept[reader] = kept
            found[reader] = kept.last
        if asking:
            received_at_ms = max(one.state.received_at_ms for one in plans)
            back_ms = max(looks_back_ms(tap) for _, taps in asking for tap in taps)
            asked = ledger.Asked.of(asking, received_at_ms, names, back_ms)
            for reader, told in ledger.last_bookings(connection, asked).items():
                found[reader].update(told)
        while len(self._kept) > READERS_MAX:
            self._kept.popitem(last=False)
        return found

    def forget(self, reader: str) -> None:
        """Ask the ledger about this reader's cards again."""
        self._kept.pop(reader, None)


def _by_reader(plans: Iterable[Plan]) -> dict[str, list[Plan]]:
    found: dict[str, list[Plan]] = {}
    for one in plans:
        found.setdefault(one.state.reader, []).append(one)
    return found


def _goes_on(kept: _Kept, plan: Plan) -> bool:
    """True when a batch follows what this worker took in last of its reader."""
    batch, start = plan.opened.batch, plan.opened.start
    if start is None:
        return (kept.journal, kept.seen, kept.hash) == (
            batch.journal,
            batch.first - 1,
            batch.before,
        )
    former = start.former
    return former is not None and (kept.journal, kept.seen, kept.hash) == (
        former.journal,
        former.n,
        former.tip,
    )


def _from_here_on(plan: Plan, taps: Sequence[Tap]) -> int:
    """Return from when on a worker that begins to listen here will know every booking.

    A clock that has just gone back may have booked "later" than the first tap heard: that is asked
    for when a decision does not follow (`reconcile.History.look_up`).
    """
    if plan.first_ever:
        return 0
    return min((tap.at_ms for tap in taps), default=plan.state.received_at_ms)


def _forget(kept: _Kept, before_ms: int) -> None:
    """Forget the oldest bookings when there are many; say so by a later `since_ms`."""
    if len(kept.last) <= CARDS_MAX:
        return
    ours = kept.last.items()
    kept.last = {card: last for card, last in ours if last.booked.at_ms >= before_ms}
    kept.since_ms = max(kept.since_ms, before_ms)
