"""Taking a file of members in: all of its lines in one transaction, or none.

Rules: members are recognised by programme and registration number, cards by their credential; a
card of another member is refused, a new one whose scheme the programme does not use, and another
end for a membership that was ended at a desk; columns that the file has not got stay as they are;
taking the same file in again changes nothing; a file that takes another one back leaves alone what
was corrected since; members and cards that are not in the file stay, but
for those whose place a card of the scheme that members move to takes; what a changed member was
called before is kept with the member (`member_event`), where one can undo it.
"""

import datetime
import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from operator import attrgetter
from types import MappingProxyType
from typing import Any, Final, NamedTuple

import msgspec
import sqlalchemy as sa

from fleet import audit, bulk, campaigns, terms, webhook_events
from fleet.member_life import Ended
from fleet.members import bump, whole
from fleet.members_csv import ABOUT, ERRORS_SHOWN_MAX, FileRefused, Judged, Line, LineError
from fleet.members_csv import Progress as Advance
from fleet.schema import (
    card,
    consent,
    consent_basis,
    member,
    member_event,
    person,
    programme_revision,
)
from fleet.terms import SchemeRefused
from programmes.calendar import local_day
from wire.credential import Scheme

ROWS_AT_ONCE: Final = 5_000
"""Rows in one statement, and between two steps of the progress bar: about 0.1 s."""
NUMBERS_NOTED: Final = 1_000
"""Registration numbers in one line of the audit: 10 kB. All are written down, in several lines."""
_OF_PERSON: Final = ("name", "kana", "birth_date")
_DAYS: Final = ("valid_from", "valid_to")


class Known(NamedTuple):
    """What is stored of a member."""

    member_id: int
    person_id: int
    ended_kind: str
    about: dict[str, Any]
    """By column of ABOUT."""


class Changed(NamedTuple):
    """A member whom the file changes."""

    line: Line
    known: Known
    new: dict[str, Any]
    """The columns that change, with their new values."""
    stays: Mapping[str, Any] = MappingProxyType({})
    """The columns that the file would take back, had they not been corrected since the import."""


class Plan(NamedTuple):
    """What taking a file in does, or would do."""

    lines: int
    added: list[Line]
    changed: list[Changed]
    cards: list[Line]
    unchanged: int
    errors: list[LineError]
    """What the stored members contradict; by line."""
    stamp: tuple[int, ...]
    """Of the members that were looked at; the same as long as none of them has changed."""
    stays: list[Changed]
    """Members of whom something is not taken back."""

    @property
    def fingerprint(self) -> str:
        """Return a text that differs when anything else would be done."""
        digest = hashlib.sha256()
        for one in (*self.added, *self.cards):
            digest.update(msgspec.json.encode(one) + b"\n")
        for line, known, new, _ in self.changed:
            old = {name: known.about[name] for name in new}
            digest.update(msgspec.json.encode((line.line, known.member_id, old, new)) + b"\n")
        return digest.hexdigest()


def plan(connection: sa.Connection, programme: str, file: Judged, at_ms: int) -> Plan:
    """Return what taking these lines in would do now; nothing is written."""
    known, owners = _known_members(connection, programme), _owners(connection, programme)
    cards = [one for one in file.lines if one.credential and one.credential not in owners]
    first: dict[str, Line] = {}
    for line in file.lines:
        first.setdefault(line.registration_number, line)
    columns = [name for name in ABOUT if name in file.columns]
    added, changed, stays = [], [], []
    for number, line in first.items():
        if number not in known:
            if line.written is None:  # else it is gone, and nothing of it is to be taken back
                added.append(line)
            continue
        one = _differences(line, known[number], columns)
        if one.new:
            changed.append(one)
        if one.stays:
            stays.append(one)
    errors = [
        LineError(one.line, "credential", "card-of", {"number": owners[one.credential]})
        for one in file.lines
        if one.credential
        and owners.get(one.credential, one.registration_number) != one.registration_number
    ]
    errors += _not_in_use(connection, programme, cards, at_ms)
    errors += [
        LineError(one.line.line, "valid_to", "ended")
        for one in changed
        if one.known.ended_kind and "valid_to" in one.new
    ]
    errors += [
        LineError(line.line, "registration_number", "erased")
        for number, line in first.items()
        if number in known and known[number].ended_kind == Ended.ERASED
    ]
    unchanged = len(first) - len(added) - len(changed)
    stamp = _stamp(connection, programme)
    errors.sort(key=lambda one: one.line)
    return Plan(len(file.lines), added, changed, cards, unchanged, errors, stamp, stays)


def _differences(line: Line, known: Known, columns: Collection[str]) -> Changed:
    values = {name: getattr(line, name) for name in columns}
    differ = {name: value for name, value in values.items() if value != known.about[name]}
    if line.written is None:
        return Changed(line, known, differ)
    written = known.about | line.written
    back = {name: value for name, value in differ.items() if value != written[name]}
    new = {name: value for name, value in back.items() if _still(name, known.about, written)}
    return Changed(line, known, new, {name: back[name] for name in back if name not in new})


def _still(name: str, about: Mapping[str, Any], written: Mapping[str, Any]) -> bool:
    """True when nobody has corrected a column since the import; first and last day go together."""
    beside = _DAYS if name in _DAYS else (name,)
    return all(about[one] == written[one] for one in beside)


def take_in(
    connection: sa.Connection,
    programme: str,
    file: Judged,
    who: str,
    at_ms: int,
    progress: Advance = lambda _: None,
    basis_id: int | None = None,
    ready: Plan | None = None,
) -> Plan:
    """Write all lines, inside the caller's transaction. Raises FileRefused before any is written.

    `basis_id`: of the consent that all members of the file have signed on paper; who has none on
    record gets one. `ready`: a plan of this file that was made before, on a connection of its own;
    it counts when nothing has changed since, and is made anew when something has. What was done is
    returned. So others who write wait for the writing alone, 3 s of 100,000 members.
    """
    what = ready
    if what is None or what.stamp != _stamp(connection, programme):
        what = plan(connection, programme, file, at_ms)
    if what.errors:
        raise FileRefused(what.errors[:ERRORS_SHOWN_MAX])
    _add_members(connection, programme, what.added, at_ms, progress)
    _change_members(connection, what.changed, who, at_ms)
    ids = _ids(connection, programme)
    _add_cards(connection, programme, what.cards, ids, who, at_ms)
    new = [ids[one.registration_number] for one in what.cards]
    campaigns.replace_cards(connection, programme, new, who, at_ms)
    if basis_id is not None:
        numbers = {one.registration_number for one in file.lines}
        _give_consents(connection, programme, basis_id, [ids[one] for one in numbers], who, at_ms)
    if what.added or what.changed or what.cards:
        bump(connection, programme)
        _note(connection, programme, what, who, at_ms)
    return what


def _note(connection: sa.Connection, programme: str, what: Plan, who: str, at_ms: int) -> None:
    """Leave lines in the audit that name every number, and tell other systems of each."""
    counts = f"{len(what.added)} added, {len(what.changed)} changed, {len(what.cards)} cards"
    audit.note_person(connection, at_ms, who, "members.imported", programme, counts)
    for word, kind, some in (
        ("members.added", webhook_events.Kind.ENROLLED, what.added),
        ("members.changed", webhook_events.Kind.CHANGED, [one.line for one in what.changed]),
        ("members.cards-added", webhook_events.Kind.CARD_ADDED, what.cards),
    ):
        numbers = [one.registration_number for one in some]
        note_numbers(connection, programme, word, numbers, who, at_ms)
        webhook_events.write_all(connection, at_ms, kind, programme, numbers)


def note_numbers(
    connection: sa.Connection,
    programme: str,
    what: str,
    numbers: Sequence[str],
    who: str,
    at_ms: int,
) -> None:
    """Write a list of registration numbers into the audit of persons, all of them."""
    for start in range(0, len(numbers), NUMBERS_NOTED):
        some = " ".join(numbers[start : start + NUMBERS_NOTED])
        audit.note_person(connection, at_ms, who, what, programme, some)


def _not_in_use(
    connection: sa.Connection, programme: str, cards: Sequence[Line], at_ms: int
) -> list[LineError]:
    """Return the first line of each scheme by which no card may be taken in."""
    stated, day = terms.of(connection, programme), local_day(at_ms)
    first = {one.scheme: one for one in reversed(cards)}
    errors = []
    for one in first.values():
        try:
            terms.require_enrolling(stated, programme, Scheme(one.scheme), day)
        except SchemeRefused as error:
            what = {"scheme": one.scheme, "programme": programme}
            errors.append(LineError(one.line, "scheme", f"scheme-{error.reason}", what))
    return errors


# --- what is stored ------------------------------------------------------------------------------

_ABOUT: Final = tuple((person if name in _OF_PERSON else member).c[name] for name in ABOUT)


def _known_members(connection: sa.Connection, programme: str) -> dict[str, Known]:
    rows = connection.execute(
        sa.select(
            member.c.registration_number, member.c.id, person.c.id, member.c.ended_kind, *_ABOUT
        )
        .join(person, member.c.person_id == person.c.id)
        .where(member.c.programme == programme)
    )
    known = {}
    for number, member_id, person_id, ended_kind, *about in rows:
        columns = dict(zip(ABOUT, about, strict=True))
        known[number] = Known(member_id, person_id, ended_kind, columns)
    return known


def _stamp(connection: sa.Connection, programme: str) -> tuple[int, ...]:
    """Return what differs as soon as a member, a person or a card of the programme has changed."""
    revision = sa.select(programme_revision.c.revision).where(
        programme_revision.c.programme == programme
    )
    people = sa.select(
        sa.func.count(), sa.func.max(member.c.updated_at_ms), sa.func.max(person.c.updated_at_ms)
    ).join_from(member, person, member.c.person_id == person.c.id)
    cards = sa.select(sa.func.count(), sa.func.max(card.c.id)).where(whole(card, programme))
    counted = (
        *connection.execute(people.where(whole(member, programme))).one(),
        *(connection.execute(cards).one()),
    )
    return connection.scalar(revision) or 0, *(value or 0 for value in counted)


def _ids(connection: sa.Connection, programme: str) -> dict[str, int]:
    wanted = sa.select(member.c.registration_number, member.c.id)
    return {row[0]: row[1] for row in connection.execute(wanted.where(_is_of(programme)))}


def _is_of(programme: str) -> sa.ColumnElement[bool]:
    return member.c.programme == programme


def _owners(connection: sa.Connection, programme: str) -> dict[str, str]:
    rows = connection.execute(
        sa.select(card.c.credential, member.c.registration_number)
        .join(member, card.c.member_id == member.c.id)
        .where(card.c.programme == programme)
    )
    return {row.credential: row.registration_number for row in rows}


# --- what is written -----------------------------------------------------------------------------


def _parts(rows: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(rows), ROWS_AT_ONCE):
        yield rows[start : start + ROWS_AT_ONCE]


_MEMBER: Final = ("registration_number", "category", "valid_from", "valid_to", "household")


def _add_members(
    connection: sa.Connection,
    programme: str,
    lines: Sequence[Line],
    at_ms: int,
    progress: Advance,
) -> None:
    people = bulk.new_ids(connection, person, len(lines))
    of_person, of_member = attrgetter(*_OF_PERSON), attrgetter(*_MEMBER)
    names = ("id", *_OF_PERSON, "updated_at_ms")
    more = ("person_id", "programme", *_MEMBER, "updated_at_ms")
    for start in range(0, len(lines), ROWS_AT_ONCE):
        end = start + ROWS_AT_ONCE
        some = list(zip(people[start:end], lines[start:end], strict=True))
        rows = [(key, *of_person(one), at_ms) for key, one in some]
        bulk.append(connection, person, names, rows)
        rows = [(key, programme, *of_member(one), at_ms) for key, one in some]
        bulk.append(connection, member, more, rows)
        progress(len(some))


def _change_members(
    connection: sa.Connection, changed: Sequence[Changed], who: str, at_ms: int
) -> None:
    for table, names in ((person, _OF_PERSON), (member, ABOUT[len(_OF_PERSON) :])):
        row: dict[str, Any] = {
            name: sa.bindparam(f"new_{name}") for name in (*names, "updated_at_ms")
        }
        update = table.update().where(table.c.id == sa.bindparam("row")).values(row)
        for some in _parts([one for one in changed if not one.new.keys().isdisjoint(names)]):
            connection.execute(update, [_row(one, table, names, at_ms) for one in some])
    for some in _parts(changed):
        connection.execute(member_event.insert(), [_event(one, who, at_ms) for one in some])


def _row(one: Changed, table: sa.Table, names: Sequence[str], at_ms: int) -> dict[str, Any]:
    values = {f"new_{name}": one.new.get(name, one.known.about[name]) for name in names}
    key = one.known.person_id if table is person else one.known.member_id
    return values | {"row": key, "new_updated_at_ms": at_ms}


def _event(one: Changed, who: str, at_ms: int) -> dict[str, Any]:
    """Return what was changed as fleet.member_life keeps a correction, by which it is undone."""
    changed = []
    for name, new in one.new.items():
        table, row = ("member", one.known.member_id)
        if name in _OF_PERSON:
            table, row = "person", one.known.person_id
        changed.append([table, row, name, _kept(one.known.about[name]), _kept(new)])
    about = {"member_id": one.known.member_id, "at_ms": at_ms, "who": who, "changed": changed}
    return about | {"kind": "member.corrected"}


def _kept(value: object) -> object:
    return value.isoformat() if isinstance(value, datetime.date) else value


_ASSIGNED: Final = ("assigned_at_ms", "assigned_by")


def _add_cards(
    connection: sa.Connection,
    programme: str,
    lines: Sequence[Line],
    members: Mapping[str, int],
    who: str,
    at_ms: int,
) -> None:
    names = ("member_id", "programme", "credential", "scheme", "key_epoch", *_ASSIGNED)
    for some in _parts(lines):
        rows = [
            (
                members[one.registration_number],
                programme,
                one.credential,
                one.scheme,
                one.key_epoch,
                at_ms,
                who,
            )
            for one in some
        ]
        bulk.append(connection, card, names, rows)


def _give_consents(
    connection: sa.Connection,
    programme: str,
    basis_id: int,
    members: Collection[int],
    who: str,
    at_ms: int,
) -> None:
    """Write down that these have consented on paper, but for those who have said anything yet."""
    of = connection.scalar(
        sa.select(consent_basis.c.programme).where(consent_basis.c.id == basis_id)
    )
    if of != programme:
        raise FileRefused([LineError(0, "", "no-basis")])
    have = set(
        connection.scalars(sa.select(consent.c.member_id).where(consent.c.programme == programme))
    )
    names = ("member_id", "programme", "kind", "basis_id", "medium", "at_ms", "who")
    missing = sorted(set(members) - have)
    for some in _parts(missing):
        rows = [(one, programme, "given", basis_id, "paper", at_ms, who) for one in some]
        bulk.append(connection, consent, names, rows)
    if missing:
        audit.note_person(
            connection, at_ms, who, "consents.given", programme, f"{len(missing)} on paper"
        )
