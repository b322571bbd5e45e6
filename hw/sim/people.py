"""The people of the town, drawn from a seed: who they are, what card they carry, how they hold it.

The same seed and day give the same people with the same cards, byte for byte. A person who is
enrolled has an `Enrolment`: what a clerk would read from the card at a desk, in the form that
`kazasu-provision credentials` takes. Nobody here has an individual number.
"""

import datetime
import enum
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from hw.sim.cards import (
    APDU_MS,
    Card,
    FeliCaCard,
    Phone,
    StaffToken,
    foreign_eid,
)
from hw.sim.mynumber import ChipData, MyNumberCard
from wire.codes import Code
from wire.credential import Scheme

BUSES = ("bus-1", "bus-2")
SCHOOLS = ("school-1", "school-2")
TAXIS = ("taxi-1", "taxi-2")
SENIOR_PASS = "senior-pass"  # noqa: S105  a programme
ATTENDANCE = "attendance"
TAXI = "taxi"

SCHOOLS_SHARE = 0.37
"""Of the people, those who work at a school; the rest ride a bus."""
SLOW_APDU_MS = 60.0
"""An old or badly held card: it still answers inside the 309 ms that a card may take."""
RANDOM_PUPI_SHARE = 0.2
"""Of Type B cards, those found by another number each time (ISO/IEC 14443-3 allows it; how many
real ones do is not known)."""
FAMILY_NAMES = ("佐藤", "鈴木", "高橋", "田中", "伊藤", "渡辺", "山本", "中村", "小林", "加藤")
GIVEN_NAMES = ("和子", "清", "節子", "茂", "幸子", "勇", "陽子", "健一", "恵", "誠", "由美", "隆")


class Habit(enum.Enum):
    """How a person holds the card."""

    PLAIN = "holds it until the sentence appears"
    TWICE = "holds it again at once, to be sure"
    LYING = "leaves it lying on the reader"
    TORN = "pulls it away too early, then holds it again"
    NO_CARD = "has no card with them; the driver presses 提示のみ"


class Kind(NamedTuple):
    """One sort of person: how many of a hundred, the card, the habit, the answer to expect."""

    name: str
    share: int
    carries: str
    habit: Habit = Habit.PLAIN
    expects: Code = Code.OK
    category: str = "all"
    place: str = ""
    """Where they come to; empty: anywhere."""


SENIORS = (
    Kind("senior", 44, "my-number"),
    Kind("senior with certificate", 9, "certificate"),
    Kind("senior with transit card", 12, "felica"),
    Kind("senior with a town pass", 6, "my-number", category="town"),
    Kind("senior in a hurry", 4, "my-number", Habit.TORN),
    Kind("senior who makes sure", 4, "my-number", Habit.TWICE),
    Kind("senior who lets it lie", 2, "felica", Habit.LYING),
    Kind("senior with a slow card", 3, "slow"),
    Kind("pass has expired", 3, "my-number", expects=Code.EXPIRED),
    Kind("pass begins next month", 2, "felica", expects=Code.NOT_YET),
    Kind("card was reported lost", 2, "my-number", expects=Code.STOP_LISTED),
    Kind("stranger", 3, "my-number", expects=Code.UNKNOWN),
    Kind("stranger with transit card", 2, "felica", expects=Code.UNKNOWN),
    Kind("visitor with a foreign card", 1, "foreign", expects=Code.CARD_NOT_USABLE),
    Kind("visitor with a phone", 1, "phone", expects=Code.CARD_NOT_USABLE),
    Kind("card at home", 2, "nothing", Habit.NO_CARD),
)
HIRED = Kind("hired today", 3, "my-number", Habit.PLAIN, Code.UNKNOWN, "teacher", "school-1")
"""A member whose card no roster knows yet: a clerk can assign the card that was just held."""
TEACHERS = (
    Kind("teacher", 42, "my-number", category="teacher"),
    Kind("teacher with token", 20, "token", category="teacher"),
    Kind("teacher with transit card", 14, "felica", category="teacher"),
    Kind("teacher with certificate", 6, "certificate", category="teacher"),
    Kind("teacher in a hurry", 4, "my-number", Habit.TORN, category="teacher"),
    Kind("teacher who makes sure", 4, "token", Habit.TWICE, category="teacher"),
    Kind("teacher who lets it lie", 2, "my-number", Habit.LYING, category="teacher"),
    HIRED,
    Kind("retired in spring", 3, "my-number", expects=Code.EXPIRED, category="teacher"),
    Kind("token was lost", 2, "token", expects=Code.STOP_LISTED, category="teacher"),
)
RIDERS = (
    Kind("taxi rider", 74, "my-number"),
    Kind("taxi rider with certificate", 10, "certificate"),
    Kind("taxi rider who makes sure", 6, "my-number", Habit.TWICE),
    Kind("taxi card was reported lost", 4, "my-number", expects=Code.STOP_LISTED),
    Kind("passenger who is no member", 6, "my-number", expects=Code.UNKNOWN),
)
STRANGERS = frozenset({Code.UNKNOWN, Code.CARD_NOT_USABLE})


class Circle(NamedTuple):
    """Those who come to one sort of place: where, for what, what their numbers begin with."""

    places: tuple[str, ...]
    programme: str
    initial: str
    ages: tuple[int, int]


RIDE_A_BUS = Circle(BUSES, SENIOR_PASS, "S", (70, 95))
WORK_AT_SCHOOL = Circle(SCHOOLS, ATTENDANCE, "T", (22, 64))
RIDE_A_TAXI = Circle(TAXIS, TAXI, "M", (75, 97))
FIRST_RIDER = 5_001
"""Number of the first who rides a taxi: behind all the others."""


class Enrolment(NamedTuple):
    """One member of a programme, and the card that they were enrolled with."""

    programme: str
    member: str
    """The clerk's number for the person, such as `S0042`."""
    name: str
    born: datetime.date
    category: str
    valid_from: datetime.date
    valid_to: datetime.date
    stopped: bool
    """Reported lost, or given back."""
    scheme: Scheme | None
    """None for a member whose card nobody has read yet."""
    identifier: bytes


@dataclass(frozen=True)
class Person:
    """Somebody who comes to a reader today; `card()` is a card that nobody else has."""

    number: int
    kind: Kind
    place: str
    born: datetime.date
    name: str
    card: Callable[[], Card] | None
    enrolment: Enrolment | None

    @property
    def expects(self) -> Code:
        """The answer that this person's card gets here when nothing goes wrong."""
        if self.kind.category == "town" and self.place != "bus-1":
            return Code.WRONG_PLACE
        return self.kind.expects


class _Carried(NamedTuple):
    """A card, and what a desk would read from it when its holder is enrolled."""

    card: Callable[[], Card] | None
    scheme: Scheme | None = None
    identifier: bytes = b""


def draw_people(
    seed: int, day: datetime.date, people: int, apdu_ms: float = APDU_MS
) -> list[Person]:
    """Draw so many people (1 to 5000) for a day; every kind at least once when they are enough."""
    rng = random.Random(f"kazasu town {seed}")
    teachers = round(people * SCHOOLS_SHARE)
    kinds = [(kind, RIDE_A_BUS) for kind in _deal(rng, SENIORS, people - teachers)]
    kinds += [(kind, WORK_AT_SCHOOL) for kind in _deal(rng, TEACHERS, teachers)]
    return [
        _person(rng, number, kind, circle, day, apdu_ms)
        for number, (kind, circle) in enumerate(kinds, 1)
    ]


def draw_riders(
    seed: int, day: datetime.date, riders: int, apdu_ms: float = APDU_MS
) -> list[Person]:
    """Draw so many people who ride in a taxi on a day; their `place` is where most of them do."""
    rng = random.Random(f"kazasu riders {seed}")
    return [
        _person(rng, number, kind, RIDE_A_TAXI, day, apdu_ms)
        for number, kind in enumerate(_deal(rng, RIDERS, riders), FIRST_RIDER)
    ]


def _deal(rng: random.Random, kinds: tuple[Kind, ...], count: int) -> Iterator[Kind]:
    """Give one of each kind, commonest first, then kinds by their shares, in mixed order."""
    dealt = sorted(kinds, key=lambda kind: -kind.share)[:count]
    shares = [kind.share for kind in kinds]
    dealt += rng.choices(kinds, shares, k=count - len(dealt))
    rng.shuffle(dealt)
    yield from dealt


def _person(
    rng: random.Random,
    number: int,
    kind: Kind,
    circle: Circle,
    day: datetime.date,
    apdu_ms: float,
) -> Person:
    place = kind.place or circle.places[number % len(circle.places)]
    born = _birthday(rng, day, circle.ages)
    name = f"{rng.choice(FAMILY_NAMES)} {rng.choice(GIVEN_NAMES)}"
    carried = _carried(rng, kind.carries, day, apdu_ms)
    if kind is HIRED:
        carried = carried._replace(scheme=None, identifier=b"")
    enrolment = None
    if kind is HIRED or (carried.scheme and kind.expects not in STRANGERS):
        enrolment = Enrolment(
            circle.programme,
            f"{circle.initial}{number:04}",
            name,
            born,
            kind.category,
            *_validity(kind.expects, day),
            kind.expects is Code.STOP_LISTED,
            carried.scheme,
            carried.identifier,
        )
    return Person(number, kind, place, born, name, carried.card, enrolment)


def drawn_card(name: str, day: datetime.date) -> Card:
    """Return a My Number Card for a name that somebody thinks up: the same for the same name."""
    return MyNumberCard(ChipData.drawn(random.Random(f"kazasu card {name}"), day))


def _birthday(rng: random.Random, day: datetime.date, ages: tuple[int, int]) -> datetime.date:
    return day - datetime.timedelta(days=rng.randrange(ages[0] * 366, ages[1] * 365))


def _validity(expects: Code, day: datetime.date) -> tuple[datetime.date, datetime.date]:
    """First and last day that lead to the expected answer."""
    year_began = datetime.date(day.year if day.month >= 4 else day.year - 1, 4, 1)
    year_ends = year_began.replace(year=year_began.year + 1) - datetime.timedelta(days=1)
    week = datetime.timedelta(days=7)
    if expects is Code.EXPIRED:
        return year_began - 52 * week, day - week
    if expects is Code.NOT_YET:
        return day + week, year_ends + 52 * week
    return year_began, year_ends


def _carried(rng: random.Random, what: str, day: datetime.date, apdu_ms: float) -> _Carried:
    """Draw a card of one sort; each call of its `card` gives that same card, freshly powered."""
    if what in ("my-number", "slow", "certificate"):
        return _my_number(rng, what, day, SLOW_APDU_MS if what == "slow" else apdu_ms)
    if what == "felica":
        idm = b"\x01\x14" + rng.randbytes(6)  # 01FE would be a phone in peer-to-peer mode
        first = bytes([idm[0] & 0x0F]) + idm[1:]  # of the card's first system, 0003
        return _Carried(lambda: FeliCaCard(idm), Scheme.FELICA_IDM, first)
    if what == "token":
        uid = b"\x04" + rng.randbytes(6)
        return _Carried(lambda: StaffToken(uid), Scheme.STAFF_TOKEN, uid)
    own = random.Random(rng.random())
    if what == "foreign":
        return _Carried(lambda: foreign_eid(own))
    return _Carried((lambda: Phone(own)) if what == "phone" else None)


def _my_number(rng: random.Random, what: str, day: datetime.date, apdu_ms: float) -> _Carried:
    """Some cards answer with a new PUPI each time; one enrolled by certificate may lack the AP."""
    data = ChipData.drawn(rng, day)
    pupi = random.Random(rng.random()) if rng.random() < RANDOM_PUPI_SHARE else None
    common_ap = what != "certificate" or rng.random() < 0.5

    def card() -> Card:
        return MyNumberCard(data, pupi, common_ap=common_ap, apdu_ms=apdu_ms)

    if what == "certificate":
        return _Carried(card, Scheme.JPKI_AUTH, certificate_identifier(data))
    return _Carried(card, Scheme.COMMON_AP, data.serial.encode())


def certificate_identifier(data: ChipData) -> bytes:
    """The identifier of scheme `jpki-auth`: the serial's INTEGER bytes, then notBefore's.

    Times before 2050 stand as UTCTime, 13 characters (RFC 5280, 4.1.2.5).
    """
    serial = data.certificate_serial
    integer = serial.to_bytes(serial.bit_length() // 8 + 1, "big")
    return integer + f"{data.not_before:%y%m%d%H%M%SZ}".encode()
