"""Two taxi companies with members of the taxi programme, as their offices find them."""

import datetime
from collections.abc import Sequence
from hashlib import sha256
from typing import Any

import sqlalchemy as sa

from fleet import members, months, office_rides, rules, schema
from fleet.office_rides import Known, Named, NewRide
from fleet.store import Store
from programmes import taxi
from programmes.calendar import start_of_day_ms
from wire.clock import ClockState
from wire.codes import Code, Outcome
from wire.credential import Scheme
from wire.entries import Entry, Ride, Rider, Shift, Tap, encode
from wire.roster import RuleTable

TAXI = taxi.NAME
DAY = datetime.date(2026, 6, 3)
NOON_MS = start_of_day_ms(DAY) + 12 * 3_600_000
NOW_MS = NOON_MS + 4 * 3_600_000
MINUTE_MS = 60_000
ASAHI, MINATO = "asahi-taxi", "minato-taxi"
TAXIS = (("taxi-1", ASAHI, "1号車"), ("taxi-2", ASAHI, "2号車"), ("taxi-9", MINATO, "ひみつ号"))
PEOPLE = (("M-001", "別府 ひみつ", "ベップ ヒミツ"), ("M-002", "青木 一", "アオキ ハジメ"))
TENANT = "kazasu-shi"


def card_of(number: str) -> str:
    return sha256(number.encode()).hexdigest()[:32]


def reader_of(place: str) -> str:
    return f"{TENANT}/{place}"


def add_companies(connection: sa.Connection, rides_per_day: int = 2) -> None:
    """Vehicles, their readers and journals, and a rule table."""
    months.ensure(connection, NOW_MS)
    for name, organisation, label in TAXIS:
        row = {"name": name, "kind": "taxi", "programmes": [TAXI], "triage_programmes": []}
        row |= {"label_ja": label, "label_en": f"Taxi {name}", "organisation": organisation}
        connection.execute(schema.place.insert().values(row))
        known = {"name": reader_of(name), "place": name, "public_key": "", "enrolled_at_ms": 1}
        known |= {"sealing_public_key": "", "fingerprint": sha256(name.encode()).hexdigest()}
        connection.execute(schema.reader.insert().values(known))
        held: dict[str, Any] = {
            "reader": reader_of(name),
            "journal": sha256(name.encode()).hexdigest()[:32],
        }
        held |= {"received_at_ms": NOW_MS, "spans": []}
        connection.execute(schema.journal.insert().values(held))
    april = datetime.date(2026, 4, 1)
    parameters = {"rides_per_day": rides_per_day, "rides_per_year": 120, "discounts": {"障害": 10}}
    table = RuleTable(version="taxi/2026", valid_from=april, parameters=parameters)
    rules.add(connection, TAXI, table, "test", NOON_MS)


def add_members(connection: sa.Connection, cards: bool = True) -> None:
    """Two people, with a card each unless they have none."""
    for number, name, kana in PEOPLE:
        new = members.NewMember(number, name, kana, datetime.date(1940, 4, 1))
        members.enrol(connection, TAXI, new, "test", 1)
        if cards:
            add_card(connection, number)


def add_card(connection: sa.Connection, number: str) -> None:
    mine = sa.select(schema.member.c.id).where(schema.member.c.registration_number == number)
    connection.execute(
        schema.card.insert().values(
            member_id=mine.scalar_subquery(), programme=TAXI, credential=card_of(number),
            scheme=Scheme.COMMON_AP.value, key_epoch=1, assigned_at_ms=1, assigned_by="hana",
        )
    )  # fmt: skip


def slip(*numbers: str, **changes: Any) -> NewRide:
    """What stands on a driver's slip."""
    letters = {number: kana[0] for number, _, kana in PEOPLE}
    riders = tuple(Named(one, letters.get(one, "カ"), f"T{one[-1]}") for one in numbers)
    values: dict[str, Any] = {"programme": TAXI, "organisation": ASAHI, "place": "taxi-1"}
    values |= {"driver": "17", "boarded_at_ms": NOON_MS, "riders": riders, "fare_yen": 1_500}
    return NewRide(**(values | {"discount": "", "reason": "paper"} | changes))


def known(people: Store, new: NewRide, who: str = "mika") -> list[Known]:
    """Return the riders of a slip, with their credential."""
    with people.write() as connection:
        found = office_rides.identify(connection, TAXI, new.riders, who, NOW_MS)
        return [
            office_rides.give_credential(connection, TAXI, one, who, NOW_MS)
            for one in found
            if one is not None
        ]


def enter(fleet: Store, people: Store, new: NewRide, who: str = "mika") -> int:
    riders = known(people, new, who)
    with fleet.write() as connection:
        return office_rides.enter(connection, new, riders, who, NOW_MS)


# --- what readers sent ---------------------------------------------------------------------------


def _common(n: int, at_ms: int, clock: ClockState = ClockState.SYNCHRONISED) -> dict[str, Any]:
    return {"v": 1, "n": n, "at_ms": at_ms, "mono_ms": n, "clock": clock}


def send(connection: sa.Connection, place: str, *entries: Entry) -> int:
    """Put entries into the ledger as they stand; return their journal's row."""
    mine = sa.select(schema.journal.c.id).where(schema.journal.c.reader == reader_of(place))
    journal_id: int = connection.execute(mine).scalar_one()
    for one in entries:
        body = encode(one)
        row = {"journal_id": journal_id, "n": one.n, "hash": b"", "body": body}
        row |= {"received_at_ms": one.at_ms, "at_ms": one.at_ms, "clock": one.clock.value}
        row |= {"kind": type(one).__struct_config__.tag}
        if isinstance(one, Tap | Ride):
            row |= {"programme": one.programme, "outcome": one.outcome.value}
        if isinstance(one, Tap):
            row |= {"credential": one.credential}
        connection.execute(schema.entry.insert().values(row))
        seen = {"seen": one.n, "received_at_ms": one.at_ms}
        connection.execute(
            schema.journal.update().where(schema.journal.c.id == journal_id).values(seen)
        )
    return journal_id


def tap(n: int, number: str, at_ms: int = NOON_MS) -> Tap:
    return Tap(
        **_common(n, at_ms), programme=TAXI, outcome=Outcome.ACCEPTED, code=Code.OK,
        shown="taxi.boarded-day", scheme=Scheme.COMMON_AP, key_epoch=1, credential=card_of(number),
    )  # fmt: skip


def shift(n: int, driver: str, at_ms: int, *, began: bool = True, clock: str = "") -> Shift:
    state = ClockState(clock) if clock else ClockState.SYNCHRONISED
    return Shift(**_common(n, at_ms, state), began=began, driver=driver)


def settled(
    connection: sa.Connection, n: int, numbers: Sequence[str], at_ms: int, **changes: Any
) -> int:
    """Write the ride that a reader settled ten minutes after boarding; return its number."""
    values: dict[str, Any] = {"place": "taxi-1", "organisation": ASAHI, "fare_yen": 1_500}
    values |= {"minutes": 10, "driver": "17", "on_spot": "36.389,139.060"}
    values |= {"off_spot": "36.401,139.060", "outcome": "accepted"} | changes
    end_ms = at_ms + values.pop("minutes") * MINUTE_MS
    riders = [
        Rider(scheme=Scheme.COMMON_AP, key_epoch=1, credential=card_of(one)) for one in numbers
    ]
    one = Ride(
        **_common(n, end_ms), programme=TAXI, outcome=Outcome.ACCEPTED, code=Code.OK, shown="x",
        riders=riders, fare_yen=values["fare_yen"], boarded_at_ms=at_ms,
    )  # fmt: skip
    journal_id = send(connection, values["place"], one)
    row = values | {"kind": "ride", "journal_id": journal_id, "n": n, "programme": TAXI}
    row |= {"medium": "card", "code": "ok", "at_ms": end_ms, "boarded_at_ms": at_ms}
    row |= {"booked_at_ms": end_ms, "riders": len(numbers), "discount_yen": 0}
    accepted = values["outcome"] == "accepted"
    row |= {"subsidy_yen": 750 * accepted, "riders_pay_yen": values["fare_yen"]}
    new = connection.execute(schema.ride.insert().values(row).returning(schema.ride.c.id))
    ride_id = int(new.scalar_one())
    for seat, number in enumerate(numbers):
        share = {"ride_id": ride_id, "seat": seat, "credential": card_of(number)}
        share |= {"times": int(accepted), "subsidy_yen": 750 * (seat == 0)}
        connection.execute(schema.ride_share.insert().values(share))
    return ride_id
