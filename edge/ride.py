"""The ride that is under way on this vehicle, in the card half: who is aboard, and its settling.

Upheld: who taps is put on the list and counts nothing; the ride counts when the driver settles it,
in one entry, with all its riders · the list is the journal's, so a battery that is pulled takes
nobody off it · a fare is settled for the riders that the driver saw, or not at all · what was
settled is taken back by an entry of its own, once.
"""

import datetime
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Final, NamedTuple

from msgspec.structs import replace

from edge.clock import Stamp
from edge.panel import (
    Aboard,
    AboardRider,
    CancelRide,
    Fare,
    FareAnswer,
    FromTap,
    NotDone,
    RideAct,
    RideActed,
    Shown,
    TakeOff,
    TurnShift,
)
from edge.roster import Holding
from edge.usage import RIDES_KEPT
from programmes.calendar import local_day
from programmes.register import RULEBOOKS
from programmes.rides import UNDER_WAY_MS, RideFacts, RiderFacts, Settlement
from programmes.rulebook import RuleTableRefused, rule_in_force
from wire.clock import ClockState
from wire.codes import Code, Outcome
from wire.credential import Credential
from wire.entries import Cancel, ClockStep, Entry, JournalId, Ride, Rider, Shift, Start, Tap
from wire.limits import RIDERS_MAX

Ref = tuple[JournalId, int]
"""Journal and number of an entry of this reader."""


class Riding:
    """What the journal says of rides: who is aboard, who drives, what can be taken back."""

    def __init__(self) -> None:
        self._aboard: dict[Ref, Tap] = {}
        self._rides: dict[Ref, Ride] = {}
        self._boot = ""
        self._unsure: set[Ref] = set()
        """Boarded in this boot by a clock that the fleet had not set."""
        self.driver = ""

    def take(self, journal: JournalId, n: int, entry: Entry) -> None:
        """Take in one entry, in the order in which they were written."""
        match entry:
            case Tap() if entry.outcome is Outcome.ACCEPTED and _by_ride(entry.programme):
                self._board((journal, n), entry)
            case Ride():
                self._aboard.clear()
                self._rides[journal, n] = entry
                if len(self._rides) > RIDES_KEPT:
                    del self._rides[next(iter(self._rides))]
            case Cancel():
                of = JournalId(entry.of_journal), entry.of_n
                self._aboard.pop(of, None)
                self._rides.pop(of, None)
            case Shift():
                if self.driver:
                    self._aboard.clear()
                self.driver = entry.driver if entry.began else ""
            case Start():
                self.boots(entry.boot)
            case ClockStep():
                self._step(entry.step_ms)

    def boots(self, boot: str) -> None:
        """Hear in which boot all that follows is written."""
        if boot != self._boot:
            self._boot = boot
            self._unsure.clear()

    def _board(self, ref: Ref, tap: Tap) -> None:
        """Put a tap on the list; a former one of the card, which a set clock brings back, goes."""
        cards = _cards(tap)
        for other in [other for other, one in self._aboard.items() if cards & _cards(one)]:
            del self._aboard[other]
        self._aboard[ref] = tap
        if len(self._aboard) > RIDERS_MAX:
            del self._aboard[next(iter(self._aboard))]
        if tap.clock is not ClockState.SYNCHRONISED:
            self._unsure.add(ref)

    def _step(self, step_ms: int) -> None:
        """Move with the clock what it said before: setting it takes nobody off the list."""
        self._unsure &= self._aboard.keys()
        for ref in self._unsure:
            tap = self._aboard[ref]
            self._aboard[ref] = replace(tap, at_ms=max(0, tap.at_ms + step_ms))

    def forget(self, journals: Collection[JournalId]) -> None:
        """Forget rides of journals that were removed from the disk, as a restart would."""
        self._rides = {ref: ride for ref, ride in self._rides.items() if ref[0] not in journals}

    def aboard(self, now_ms: int) -> dict[Ref, Tap]:
        """Return the taps of those who are aboard, in their order."""
        return {ref: tap for ref, tap in self._aboard.items() if tap.at_ms > now_ms - UNDER_WAY_MS}

    def is_aboard(self, cards: Iterable[Credential], now_ms: int) -> bool:
        """True when one of these credentials is on the list."""
        named = set(cards)
        return any(named & _cards(tap) for tap in self.aboard(now_ms).values())

    def ride(self, ref: Ref) -> Ride | None:
        """Return a ride that can be taken back."""
        return self._rides.get(ref)


def _cards(tap: Tap) -> set[str]:
    return {one for one in (tap.credential, tap.older_credential) if one}


def _by_ride(programme: str) -> bool:
    book = RULEBOOKS.get(programme)
    return book is not None and book.rides is not None


class _Offered(NamedTuple):
    holding: Holding | None
    day: datetime.date
    discounts: list[str]


def _offers(holding: Holding | None, day: datetime.date) -> list[str]:
    if holding is None or holding.rulebook.rides is None:
        return []
    try:
        table = rule_in_force(holding.roster.header.rules, day)
        return list(holding.rulebook.rides.discounts(table))
    except RuleTableRefused:
        return []


class Moment(NamedTuple):
    """When and where the driver does something."""

    stamp: Stamp
    spot: str


class Rides:
    """Does what the driver asks. Used by the thread that decides."""

    def __init__(
        self,
        riding: Riding,
        keep: Callable[[Entry], int],
        journal: Callable[[], JournalId],
        say: Callable[[FromTap], None],
        holdings: Callable[[], Sequence[Holding]],
    ) -> None:
        """`keep` puts an entry on the disk and returns its number, 0 when it cannot."""
        self.riding: Final = riding
        self._keep, self._journal, self._say, self._holdings = keep, journal, say, holdings
        self._said: Aboard | None = None
        self._offered: _Offered | None = None

    def hear(self, asked: RideAct, moment: Moment) -> None:
        """Do one thing, and answer it."""
        match asked:
            case Fare():
                self._say(self._fare(asked, moment))
            case TakeOff():
                self._act(asked.ask, self._take_off(asked, moment))
            case CancelRide():
                self._act(asked.ask, self._cancel(asked, moment))
            case TurnShift():
                shift = Shift(
                    v=1, n=1, **moment.stamp._asdict(), began=asked.began, driver=asked.driver
                )
                self._act(asked.ask, self._kept(shift))
        self.tell(moment.stamp.at_ms)

    def tell(self, now_ms: int) -> None:
        """Say who is aboard, when it has changed."""
        riders = [
            AboardRider(journal, n, tap.at_ms, tap.shown)
            for (journal, n), tap in self.riding.aboard(now_ms).items()
        ]
        told = Aboard(self.riding.driver, riders, self._discounts(now_ms))
        if told != self._said:
            self._said = told
            self._say(told)

    def forget_told(self) -> None:
        """Whoever listens is another one now, and is told again."""
        self._said = None

    def _discounts(self, now_ms: int) -> list[str]:
        """Return what today's table offers; it is read again when the roster or the day changes."""
        holding = next((one for one in self._holdings() if one.rulebook.rides), None)
        day = local_day(now_ms)
        if self._offered is None or self._offered[:2] != (holding, day):
            self._offered = _Offered(holding, day, _offers(holding, day))
        return self._offered.discounts

    # --- what the driver asks ---------------------------------------------------------------------

    def _fare(self, asked: Fare, moment: Moment) -> FareAnswer:
        """Settle the ride, or only say what settling it would come to."""
        aboard = self.riding.aboard(moment.stamp.at_ms)
        if [(one.journal, one.n) for one in asked.riders] != list(aboard) or not aboard:
            return _refused(asked, "changed")
        taps = list(aboard.values())
        holding = self._holding(taps[0].programme)
        settlement = self._settle(asked, taps, holding, moment)
        if holding is None or settlement is None:
            return _refused(asked, "not-ready")
        if not asked.keep:
            return _answer(asked, settlement, "", 0)
        entry = _ride(asked, taps, settlement, holding, self.riding.driver, moment)
        n = self._keep(entry)
        if not n:
            return _refused(asked, "not-kept")
        journal = self._journal()
        self._say(_shown(settlement, journal, n, moment.stamp.at_ms))
        return _answer(asked, settlement, journal, n)

    def _settle(
        self, asked: Fare, taps: Sequence[Tap], holding: Holding | None, moment: Moment
    ) -> Settlement | None:
        rides = holding.rulebook.rides if holding else None
        if holding is None or rides is None:
            return None
        facts = RideFacts(
            at_ms=moment.stamp.at_ms,
            boarded_at_ms=taps[0].at_ms,
            riders=[_rider_facts(tap, holding) for tap in taps],
            fare_yen=asked.fare_yen,
            rules=holding.roster.header.rules,
            roster_age_s=holding.age_s(moment.stamp.at_ms),
            clock_known=moment.stamp.clock is not ClockState.UNKNOWN,
            discount=asked.discount,
            on=taps[0].spot,
            off=moment.spot,
        )
        try:
            return rides.settle(facts)
        except RuleTableRefused:
            return None

    def _take_off(self, asked: TakeOff, moment: Moment) -> NotDone:
        ref = JournalId(asked.journal), asked.n
        tap = self.riding.aboard(moment.stamp.at_ms).get(ref)
        if tap is None:
            return "changed"
        return self._kept(self._cancelled(tap.programme, ref, "removed", moment))

    def _cancel(self, asked: CancelRide, moment: Moment) -> NotDone:
        ref = JournalId(asked.journal), asked.n
        ride = self.riding.ride(ref)
        if ride is None:
            return "changed"
        return self._kept(self._cancelled(ride.programme, ref, asked.why, moment))

    def _cancelled(self, programme: str, ref: Ref, why: str, moment: Moment) -> Cancel:
        return Cancel(
            v=1,
            n=1,
            **moment.stamp._asdict(),
            programme=programme,
            of_journal=ref[0],
            of_n=ref[1],
            why=why,  # type: ignore[arg-type]  # one of the words that the panel lets through
            driver=self.riding.driver,
        )

    def _kept(self, entry: Entry) -> NotDone:
        """Keep an entry; return why it was not, empty when it was."""
        return "" if self._keep(entry) else "not-kept"

    def _act(self, ask: int, refused: NotDone) -> None:
        self._say(RideActed(ask=ask, refused=refused))

    def _holding(self, programme: str) -> Holding | None:
        return next((one for one in self._holdings() if one.rulebook.name == programme), None)


def _rider_facts(tap: Tap, holding: Holding) -> RiderFacts:
    find = holding.roster.find
    names = [Credential(one) for one in (tap.credential, tap.older_credential) if one]
    member = next((row for name in names if (row := find(name))), None)
    return RiderFacts(member, tap.used, tap.usage_age_s)


def _ride(
    asked: Fare,
    taps: Sequence[Tap],
    settlement: Settlement,
    holding: Holding,
    driver: str,
    moment: Moment,
) -> Ride:
    """Return the entry of a ride; its number is given by the journal."""
    riders = [
        Rider(
            scheme=tap.scheme,  # type: ignore[arg-type]  # an accepted tap has scheme and card
            key_epoch=tap.key_epoch,
            credential=tap.credential or "",
            older_credential=tap.older_credential,
            category=tap.category,
            subsidy_yen=yen,
            used=tap.used,
            usage_age_s=tap.usage_age_s,
        )
        for tap, yen in zip(taps, settlement.subsidies_yen, strict=True)
    ]
    return Ride(
        v=1,
        n=1,
        **moment.stamp._asdict(),
        programme=taps[0].programme,
        outcome=settlement.outcome,
        code=settlement.code,
        shown=settlement.shown,
        riders=riders,
        fare_yen=asked.fare_yen,
        boarded_at_ms=taps[0].at_ms,
        discount=asked.discount,
        discount_yen=settlement.discount_yen,
        rule=settlement.rule,
        roster=holding.roster.header.version,
        roster_age_s=holding.age_s(moment.stamp.at_ms),
        driver=driver,
        on=taps[0].spot,
        off=moment.spot,
    )


def _shown(settlement: Settlement, journal: JournalId, n: int, at_ms: int) -> Shown:
    """Return what the riders see and hear."""
    return Shown(
        journal=journal,
        n=n,
        at_ms=at_ms,
        outcome=settlement.outcome,
        code=settlement.code,
        message=settlement.shown,
        arguments=dict(settlement.arguments),
        stages_us={},
    )


def _answer(asked: Fare, settlement: Settlement, journal: str, n: int) -> FareAnswer:
    return FareAnswer(
        ask=asked.ask,
        journal=journal,
        n=n,
        outcome=settlement.outcome,
        code=settlement.code,
        message=settlement.shown,
        arguments=dict(settlement.arguments),
        fare_yen=asked.fare_yen,
        discount_yen=settlement.discount_yen,
        subsidies_yen=list(settlement.subsidies_yen),
        riders_pay_yen=settlement.riders_pay_yen,
        left=[dict(one) for one in settlement.left],
    )


def _refused(asked: Fare, why: NotDone) -> FareAnswer:
    return FareAnswer(
        ask=asked.ask,
        journal="",
        n=0,
        outcome=Outcome.REFUSED,
        code=Code.DEVICE_FAULT,
        message="",
        arguments={},
        fare_yen=asked.fare_yen,
        discount_yen=0,
        subsidies_yen=[],
        riders_pay_yen=asked.fare_yen,
        refused=why,
    )
