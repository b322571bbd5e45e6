"""Rides that the office enters: without a card, with a broken tablet, from a paper ticket.

Rules: the same rulebook settles them and the same counters count them; a company learns of a member
whether he can be used, never who he is, and each question leaves a line in the audit of persons; a
ticket's number counts once; a ride over an allowance may be entered with a reason (it took place;
the city bears it) and keeps the code `used-up`, by which the city finds it; what is wrong is taken
back by a row of its own. All of a member's rides without a card are counted under one credential of
his that is no card's (docs/adr/0021-rides-without-card.md).
"""

import datetime
import secrets
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from fleet import audit, rides, rules, store, usage
from fleet.member_search import folded
from fleet.schema import card, claim, claim_line, member, person, person_audit, ride, ride_share
from programmes.bookings import Booking
from programmes.calendar import local_day, start_of_day_ms
from programmes.register import RULEBOOKS
from programmes.rides import RideFacts, RiderFacts, Settlement
from programmes.rulebook import Decision, Facts, Place, RuleTableRefused
from wire.codes import Code, Outcome
from wire.credential import Credential
from wire.entries import Used
from wire.roster import RosterRow, RuleTable

PAPER: Final = "paper"
"""`card.scheme` of the credential under which rides without a card are counted."""
MEDIA: Final = {"paper": "paper", "no-card": "none", "tablet-broken": "none"}
"""Why the office enters a ride, and what `ride.medium` is then."""
DAYS_MAX: Final = 400
"""How long ago a ride may be: a claim of the year before can still be put right."""
ASKED_MAX: Final = 100
"""Numbers that turn out to be nobody's, of one account and day: a clerk errs now and then; who
tries numbers out is stopped."""
UNDO_MS: Final = 10 * 60_000
SETTLED: Final = ("approved", "paid")
"""States of a claim (`claim.state`) behind which a company takes nothing back by itself."""
ASKED: Final = "member.asked"
NOBODY: Final = "member.asked-nobody"


class OfficeRideRefused(ValueError):
    """This ride cannot be entered or taken back; `reason` is a stable word."""

    def __init__(self, reason: str, field: str = "") -> None:
        """`field`: of the form, beside which it is told."""
        super().__init__(reason)
        self.reason: Final = reason
        self.field: Final = field


class Named(NamedTuple):
    """A rider as a company names him."""

    number: str
    letter: str
    """The first of his name's reading: a check against slips of the pen."""
    ticket: str = ""


@dataclass(frozen=True, slots=True)
class Known:
    """A member, as far as a ride needs him."""

    member_id: int
    row: RosterRow
    """Under the credential without a card; an empty one as long as he has none."""
    cards: tuple[str, ...]
    """Every credential under which he is counted."""


class NewRide(NamedTuple):
    """A ride to be entered."""

    programme: str
    organisation: str
    place: str
    driver: str
    boarded_at_ms: int
    riders: tuple[Named, ...]
    fare_yen: int
    discount: str
    reason: str
    """One of MEDIA."""
    why: str = ""


class Looked(NamedTuple):
    """What entering a ride comes to."""

    settlement: Settlement
    decisions: tuple[Decision, ...]
    """Of each rider, as if he had tapped."""

    @property
    def over(self) -> bool:
        """True when an allowance is used up."""
        return any(one.code is Code.USED_UP for one in self.decisions)

    @property
    def refused(self) -> list[int]:
        """The seats of riders who cannot be used for another reason."""
        return [
            seat
            for seat, one in enumerate(self.decisions)
            if one.outcome is not Outcome.ACCEPTED and one.code is not Code.USED_UP
        ]


def plain_ticket(text: str) -> str:
    """Return a ticket's number as it is kept: without blanks, letters large and narrow."""
    return "".join(unicodedata.normalize("NFKC", text).upper().split())


# --- persons: who is meant -----------------------------------------------------------------------


def identify(
    people: sa.Connection, programme: str, riders: Sequence[Named], who: str, at_ms: int
) -> list[Known | None]:
    """Return the members who are meant, None for a number that is nobody's or another reading's.

    Raises OfficeRideRefused for somebody who has asked for too many that are nobody's.
    """
    if _asked_for_nobody(people, who, start_of_day_ms(local_day(at_ms))) >= ASKED_MAX:
        raise OfficeRideRefused("asked-too-often", "number1")
    found = []
    for one in riders:
        known = _known(people, programme, one)
        what = NOBODY if known is None else ASKED
        audit.note_person(people, at_ms, who, what, f"{programme} {one.number}")
        found.append(known)
    return found


def _asked_for_nobody(people: sa.Connection, who: str, since_ms: int) -> int:
    count = sa.select(sa.func.count()).where(
        person_audit.c.at_ms >= since_ms, person_audit.c.who == who, person_audit.c.what == NOBODY
    )
    return people.scalar(count) or 0


def _known(people: sa.Connection, programme: str, named: Named) -> Known | None:
    row = people.execute(
        sa.select(
            *(member.c[name] for name in ("id", "category", "valid_from", "valid_to")),
            *(member.c.stopped_from_ms, person.c.name, person.c.kana),
        )
        .join(person, person.c.id == member.c.person_id)
        .where(
            member.c.programme == programme,
            member.c.registration_number == named.number,
            member.c.erased_at_ms.is_(None),
        )
    ).one_or_none()
    if row is None or folded(named.letter)[:1] != folded(row.kana or row.name)[:1]:
        return None
    stopped_s = None if row.stopped_from_ms is None else row.stopped_from_ms // 1000
    paper = people.scalar(
        sa.select(card.c.credential).where(card.c.member_id == row.id, card.c.scheme == PAPER)
    )
    facts = RosterRow(
        Credential(paper or ""), row.category, row.valid_from, row.valid_to, stopped_s
    )
    return Known(row.id, facts, tuple(usage.cards_of(people, row.id)))


def give_credential(
    people: sa.Connection, programme: str, known: Known, who: str, at_ms: int
) -> Known:
    """Return the member with the credential under which rides without a card are counted.

    It stands among his former cards, so that no roster carries it and no page shows it as a card.
    """
    if known.row.credential:
        return known
    credential = Credential(secrets.token_hex(16))
    people.execute(
        card.insert().values(
            member_id=known.member_id,
            programme=programme,
            credential=credential,
            scheme=PAPER,
            key_epoch=0,
            assigned_at_ms=at_ms,
            assigned_by=who,
            superseded_at_ms=at_ms,
        )
    )
    row = known.row._replace(credential=credential)
    return Known(known.member_id, row, (credential, *known.cards))


# --- fleet: what it comes to ---------------------------------------------------------------------


def look(connection: sa.Connection, new: NewRide, riders: Sequence[Known]) -> Looked:
    """Return what the rulebook makes of a ride now. Raises OfficeRideRefused."""
    book, tables = RULEBOOKS[new.programme], rules.load(connection, new.programme)
    if book.rides is None:
        raise OfficeRideRefused("no-rules", "day")
    try:
        settlement = book.rides.settle(_ride_facts(connection, new, riders, tables))
        decisions = tuple(book.decide(_facts(connection, new, rider, tables)) for rider in riders)
    except RuleTableRefused as error:
        raise OfficeRideRefused("no-rules", "day") from error
    return Looked(settlement, decisions)


def _used(connection: sa.Connection, new: NewRide, rider: Known) -> Any:
    return usage.of_member(connection, new.programme, rider.cards, new.boarded_at_ms)


def _facts(
    connection: sa.Connection, new: NewRide, rider: Known, tables: Sequence[RuleTable]
) -> Facts:
    used = _used(connection, new, rider)
    at = Place(new.place, "taxi")
    return Facts(new.boarded_at_ms, at, rider.row, tables, 0, used=used, usage_age_s=0)


def _ride_facts(
    connection: sa.Connection, new: NewRide, riders: Sequence[Known], tables: Sequence[RuleTable]
) -> RideFacts:
    facts = [RiderFacts(one.row, _used(connection, new, one), 0) for one in riders]
    return RideFacts(
        new.boarded_at_ms, new.boarded_at_ms, facts, new.fare_yen, tables, discount=new.discount
    )


def enter(
    connection: sa.Connection, new: NewRide, riders: Sequence[Known], who: str, at_ms: int
) -> int:
    """Write a ride and count it; return its number. Raises OfficeRideRefused.

    `riders` have their credential (`give_credential`), in the order of `new.riders`.
    """
    store.lock(connection, "programme", [new.programme])
    looked = look(connection, new, riders)
    require(connection, new, looked)
    if looked.over and not new.why:
        raise OfficeRideRefused("over-why", "why")
    made = looked.settlement
    if _is_there(connection, new, riders):
        raise OfficeRideRefused("there-already", "day")
    row = {
        "kind": "ride",
        "programme": new.programme,
        "organisation": new.organisation,
        "place": new.place,
        "medium": MEDIA[new.reason],
        "outcome": made.outcome.value,
        "code": (Code.USED_UP if looked.over else made.code).value,
        "rule": made.rule,
        "at_ms": new.boarded_at_ms,
        "boarded_at_ms": new.boarded_at_ms,
        "booked_at_ms": at_ms,
        "riders": len(riders),
        "fare_yen": new.fare_yen,
        "discount": new.discount,
        "discount_yen": made.discount_yen,
        "subsidy_yen": made.subsidy_yen,
        "riders_pay_yen": made.riders_pay_yen,
        "driver": new.driver,
        "ticket": " ".join(one.ticket for one in new.riders if one.ticket),
        "who": who,
        "why": f"{new.reason} {new.why}".strip(),
    }
    ride_id = store.new_id(connection.execute(ride.insert().values(row)))
    shares = [
        {"ride_id": ride_id, "seat": seat, "credential": one.row.credential, "times": 1,
         "subsidy_yen": yen}
        for seat, (one, yen) in enumerate(zip(riders, made.subsidies_yen, strict=True))
    ]  # fmt: skip
    connection.execute(ride_share.insert(), shares)
    usage.count(connection, _bookings(new, shares))
    audit.note(connection, at_ms, who, "ride.entered", str(ride_id), new.reason)
    return ride_id


def _bookings(new: NewRide, shares: Sequence[dict[str, Any]]) -> list[Booking]:
    periods_of = RULEBOOKS[new.programme].periods
    periods = periods_of(new.boarded_at_ms) if periods_of else ()
    return [
        Booking(new.programme, one["credential"], periods, Used(1, one["subsidy_yen"]))
        for one in shares
    ]


def require(connection: sa.Connection, new: NewRide, looked: Looked) -> None:
    """Raise OfficeRideRefused when a ride may not be entered as it is."""
    if looked.refused:
        seat = looked.refused[0]
        raise OfficeRideRefused(f"cannot-{looked.decisions[seat].code}", f"number{seat + 1}")
    tickets = [one.ticket for one in new.riders]
    for seat, ticket in enumerate(tickets):
        if new.reason == PAPER and not ticket:
            raise OfficeRideRefused("no-ticket", f"ticket{seat + 1}")
        if ticket and (ticket in tickets[:seat] or _is_used(connection, new.programme, ticket)):
            raise OfficeRideRefused("ticket-used", f"ticket{seat + 1}")


def standing() -> list[sa.ColumnElement[bool]]:
    """Return the conditions for rides that nobody has taken back."""
    later = sa.alias(ride, "later")
    return [ride.c.kind == "ride", ~sa.exists().where(later.c.of_id == ride.c.id)]


def _is_used(connection: sa.Connection, programme: str, ticket: str) -> bool:
    held = (sa.literal(" ") + ride.c.ticket + " ").contains(f" {ticket} ", autoescape=True)
    has_any = ride.c.ticket != sa.literal_column("''")  # as the index has it
    wanted = sa.select(ride.c.id).where(ride.c.programme == programme, has_any, held, *standing())
    return connection.execute(wanted.limit(1)).first() is not None


def _is_there(connection: sa.Connection, new: NewRide, riders: Sequence[Known]) -> bool:
    """True when the office has entered this very ride: somebody pressed twice, or two people."""
    wanted = (
        sa.select(ride.c.id)
        .join(ride_share, ride_share.c.ride_id == ride.c.id)
        .where(
            ride_share.c.credential.in_([one.row.credential for one in riders]),
            ride.c.boarded_at_ms == new.boarded_at_ms,
            ride.c.journal_id.is_(None),
            *standing(),
        )
    )
    return connection.execute(wanted.limit(1)).first() is not None


# --- taking back ---------------------------------------------------------------------------------


def take_back(
    connection: sa.Connection, ride_id: int, who: str, why: str, at_ms: int, *, is_city: bool
) -> list[Booking]:
    """Take a ride back and count what that gives back. Raises OfficeRideRefused.

    A company does so while no claim with it is approved; afterwards the city.
    """
    if not why.strip():
        raise OfficeRideRefused("why", "why")
    row = connection.execute(sa.select(ride).where(ride.c.id == ride_id)).one()
    store.lock(connection, "programme", [row.programme])
    if not is_city and _is_settled(connection, ride_id):
        raise OfficeRideRefused("claimed")
    booked = rides.take_back(connection, ride_id, at_ms, who, why)
    if not booked:
        raise OfficeRideRefused("taken-back")
    usage.count(connection, booked)
    audit.note(connection, at_ms, who, "ride.taken-back", str(ride_id), why)
    return booked


def undo(connection: sa.Connection, ride_id: int, who: str, why: str, at_ms: int) -> None:
    """Take back what the same person has just entered. Raises OfficeRideRefused."""
    row = connection.execute(sa.select(ride).where(ride.c.id == ride_id)).one()
    if row.journal_id is not None or row.who != who or at_ms - row.booked_at_ms > UNDO_MS:
        raise OfficeRideRefused("too-late")
    take_back(connection, ride_id, who, why, at_ms, is_city=False)


def _is_settled(connection: sa.Connection, ride_id: int) -> bool:
    wanted = (
        sa.select(claim.c.id)
        .join(claim_line, claim_line.c.claim_id == claim.c.id)
        .where(
            claim_line.c.ride_id == ride_id,
            claim_line.c.stands.is_(sa.true()),
            claim.c.state.in_(SETTLED),
        )
    )
    return connection.execute(wanted.limit(1)).first() is not None


def earliest(at_ms: int) -> datetime.date:
    """Return the first day of which a ride may still be entered."""
    return local_day(at_ms) - datetime.timedelta(days=DAYS_MAX)
