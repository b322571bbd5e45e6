"""What was read from a dead reader's card is taken in as if the reader had sent it.

Rules: only batches that the reader's registered key signed; all of a file or nothing; what the
ledger has is recognised, byte for byte; entries stand as they would have, rides count, and gaps are
filled. They are decided again as any batch is, each against what was counted before it.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Final

import sqlalchemy as sa

from fleet import audit, careful, months, registry, rules, store, usage
from fleet.known import Cards, what_is_known
from fleet.opening import Arrived, Opened, Refused, credentials, open_batch
from fleet.reconcile import Judging
from fleet.registry import Reader
from fleet.roster_files import RosterArchive
from fleet.store import Store
from fleet.tally import Tally
from programmes.register import RULEBOOKS
from wire.individual_number import refuse_individual_number
from wire.limits import PAYLOAD_BYTES_MAX
from wire.topics import Leaf, parse_reader, topic

FILE_BYTES_MAX: Final = 256 * 1024 * 1024
"""Forty days of a busy bus are some 10 MB."""


Judge = Callable[[Opened], Judging]
"""Gathers what deciding a batch again needs."""


class RecoveryRefused(ValueError):
    """This file cannot be taken in; nothing was changed. The sentence says why."""


def judge(connection: sa.Connection, people: Store, archive: RosterArchive, at_ms: int) -> Judge:
    """Return what gathers for each batch of a file what the fleet knows of its cards."""
    tables = {name: rules.load(connection, name) for name in RULEBOOKS}
    cards = Cards()

    def judging(opened: Opened) -> Judging:
        known = what_is_known(cards, people, credentials([opened]), tables, at_ms)
        return Judging(archive, known, {})

    return judging


def take(
    connection: sa.Connection,
    file: Path,
    name: str,
    judging: Judge,
    who: str,
    why: str,
    at_ms: int,
) -> str:
    """Take a file of signed batches in; return what came of it. Raises RecoveryRefused."""
    refuse_individual_number("why", why)
    reader = registry.load_readers(connection).get(name)
    if reader is None:
        raise RecoveryRefused(f"no reader is called {name!r}: import the registry first")
    if reader.revoked:
        raise RecoveryRefused(f"{name} is revoked: nobody can tell who wrote its card")
    if file.stat().st_size > FILE_BYTES_MAX:
        raise RecoveryRefused(f"{file} is larger than {FILE_BYTES_MAX} bytes")
    store.lock(connection, "reader", [name])
    store.lock(connection, "programme", set(reader.place.programmes))
    months.ensure(connection, at_ms)
    tally = Tally()
    with file.open("rb") as lines:
        for number, line in enumerate(iter(lambda: lines.readline(PAYLOAD_BYTES_MAX + 2), b""), 1):
            opened = _opened(reader, line.strip(), f"line {number}", at_ms)
            _take(connection, opened, judging(opened), f"line {number}", tally)
    how = (
        f"created {tally.created}, stood already {tally.exists}, "
        f"contradicted {tally.conflicts}, set aside {tally.quarantined}"
    )
    audit.note(connection, at_ms, who, "journal.recovered", name, f"{how}: {why}")
    return how


def _opened(reader: Reader, payload: bytes, where: str, at_ms: int) -> Opened:
    address = topic(parse_reader(reader.name), Leaf.ENTRIES)
    opened = open_batch(Arrived(reader, address, payload, at_ms))
    if isinstance(opened, Refused):
        raise RecoveryRefused(f"{where} is not this reader's ({opened.reason}): {opened.detail}")
    return opened


def _take(
    connection: sa.Connection, opened: Opened, judging: Judging, where: str, tally: Tally
) -> None:
    """Take one batch in and count it at once: the next one is decided with it."""
    try:
        careful.take_or_refuse(connection, opened, judging, tally)
    except careful.BatchRefused as error:
        raise RecoveryRefused(f"{where}: its chain does not hold: {error}") from error
    usage.count(connection, tally.booked)
    tally.booked.clear()
