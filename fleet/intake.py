"""What readers say besides entries: status, telemetry, twin, unknown cards, answers to a desk.

Rules: each message is verified with its reader's key; one that is not taken in is counted by
reader, leaf and reason, and nothing else of it is kept; nothing here is a promise to a reader, so
nothing is answered.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec
import sqlalchemy as sa

from fleet import alarms, journals, store, telemetry
from fleet.alarms import AlarmKind
from fleet.registry import Reader
from fleet.schema import bad_message, online_change, reader_state
from fleet.telemetry import Minute
from wire.desk import DeskAnswer
from wire.envelope import MessageRefused, Purpose, open_envelope
from wire.messages import Status, Telemetry, Triage, TwinReported
from wire.topics import Leaf

LID_OPENED: Final = "head.opened"
"""A reader's counter that somebody has to look after (edge/senses.py)."""
UNKNOWN_READER: Final = "?"
"""Stands in `bad_message` for every name that is not in the registry."""


class Said(NamedTuple):
    """One message of a leaf other than entries."""

    reader: Reader
    leaf: Leaf
    payload: bytes
    received_at_ms: int


class Stranger(NamedTuple):
    """A message that is not taken in: it is counted, and nothing else of it is kept."""

    reader: str
    leaf: str
    reason: str


class Heard(NamedTuple):
    """What of a group matters beyond the tables of the fleet."""

    came_online: set[str]
    unknown_cards: list[tuple[Reader, Triage, int]]
    minutes: list[Minute]
    answers: list[tuple[Reader, DeskAnswer]]
    opened: dict[str, int]
    """Readers whose lid was opened, and when that was heard (ms)."""


def take(connection: sa.Connection, said: Sequence[Said]) -> Heard:
    """Take a group in, inside the caller's transaction."""
    heard = Heard(set(), [], [], [], {})
    claiming = {one.reader.name for one in said if one.leaf is Leaf.STATUS}
    store.lock(connection, "reader", claiming)  # a status moves a journal's marks (journals.claim)
    for one in said:
        try:
            _TAKERS[one.leaf](connection, one, heard)
        except (MessageRefused, telemetry.TelemetryRefused) as error:
            _refuse(connection, one, error.reason)
    for name, at_ms in sorted(heard.opened.items()):
        alarms.sound(connection, AlarmKind.OPENED, name, name, "", at_ms)
    return heard


def refuse(connection: sa.Connection, refused: Mapping[Stranger, int], at_ms: int) -> None:
    """Count messages that were not taken in."""
    store.upsert(
        connection,
        bad_message,
        [
            {"reader": reader, "leaf": leaf, "reason": why, "count": count, "last_at_ms": at_ms}
            for (reader, leaf, why), count in sorted(refused.items())
        ],
        key=["reader", "leaf", "reason"],
        add=["count"],
        replace=["last_at_ms"],
    )


def _refuse(connection: sa.Connection, said: Said, reason: str) -> None:
    refuse(connection, {Stranger(said.reader.name, said.leaf, reason): 1}, said.received_at_ms)


def _status(connection: sa.Connection, said: Said, heard: Heard) -> None:
    name = said.reader.name
    status = open_envelope(said.payload, Purpose.STATUS, name, said.reader.key, Status)
    former = connection.execute(
        sa.select(reader_state).where(reader_state.c.reader == name)
    ).one_or_none()
    was_online = former is not None and bool(former.online)
    if status.online != was_online:
        change = {"reader": name, "at_ms": said.received_at_ms, "online": status.online}
        store.insert_missing(connection, online_change, [change])
    if status.journal is not None:  # a farewell names the tip too
        journals.claim(connection, name, status.journal, status.n, said.received_at_ms)
    row = _empty(name) | {"received_at_ms": said.received_at_ms, "online": status.online}
    if not status.online:
        _write(connection, row, ["online", "received_at_ms"])
        return
    since_ms = former.online_since_ms if former and was_online else said.received_at_ms
    row |= {
        "online_since_ms": since_ms,
        "connections": (former.connections if former else 0) + (not was_online),
        "status_at_ms": status.at_ms,
        "agent": status.agent,
        "front_end": status.front_end,
        "ready": status.ready,
        "trouble": status.trouble.value if status.trouble else None,
        "journal": status.journal,
        "n": status.n,
        "waiting": status.waiting,
        "rosters": msgspec.to_builtins(status.rosters),
    }
    _write(connection, row, [name for name in row if name not in ("reader", "reported")])
    heard.came_online.add(name)


def _telemetry(_connection: sa.Connection, said: Said, heard: Heard) -> None:
    name = said.reader.name
    report = open_envelope(said.payload, Purpose.TELEMETRY, name, said.reader.key, Telemetry)
    telemetry.check(report)
    heard.minutes.append(Minute(name, report, said.reader.place.by_hour))
    if report.counters.get(LID_OPENED):
        heard.opened[name] = said.received_at_ms


def _reported(connection: sa.Connection, said: Said, _heard: Heard) -> None:
    name = said.reader.name
    reported = open_envelope(
        said.payload, Purpose.TWIN_REPORTED, name, said.reader.key, TwinReported
    )
    plain = msgspec.to_builtins(reported)
    plain["keys"] = reported.keys.hex() if reported.keys else None
    _write(connection, _empty(name) | {"reported": plain}, ["reported"])


def _triage(connection: sa.Connection, said: Said, heard: Heard) -> None:
    reader = said.reader
    message = open_envelope(said.payload, Purpose.TRIAGE, reader.name, reader.key, Triage)
    if message.programme not in reader.place.triage_programmes:
        _refuse(connection, said, "triage-off")
        return
    heard.unknown_cards.append((reader, message, said.received_at_ms))


def _desk(_connection: sa.Connection, said: Said, heard: Heard) -> None:
    name = said.reader.name
    answer = open_envelope(said.payload, Purpose.DESK_ANSWER, name, said.reader.key, DeskAnswer)
    heard.answers.append((said.reader, answer))


def _empty(name: str) -> dict[str, Any]:
    return {
        "reader": name,
        "online": False,
        "status_at_ms": 0,
        "received_at_ms": 0,
        "ready": False,
        "rosters": [],
    }


def _write(connection: sa.Connection, row: Mapping[str, Any], replace: Sequence[str]) -> None:
    store.upsert(connection, reader_state, [row], key=["reader"], replace=replace)


_TAKERS: Final[Mapping[Leaf, Callable[[sa.Connection, Said, Heard], None]]] = {
    Leaf.STATUS: _status,
    Leaf.TELEMETRY: _telemetry,
    Leaf.TWIN_REPORTED: _reported,
    Leaf.TRIAGE: _triage,
    Leaf.COMMAND_RESULT: _desk,
}
