"""The files that a town needs before its first morning, as its clerks and engineers write them.

The town's description for `kazasu-provision local`, the people's lists with what a desk read from
their cards for `kazasu-provision credentials`, on what ground each programme knows cards, to what
members consent, and the rule tables of all programmes.
"""

import csv
import datetime
import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from hw.sim.people import ATTENDANCE, BUSES, SCHOOLS, SENIOR_PASS, TAXI, TAXIS, Enrolment, Person
from hw.sim.timetable import LINES
from wire.codes import Code
from wire.credential import Scheme

TENANT: Final = "kazasu-shi"
HOST: Final = "127.0.0.1"
GATES: Final = (*BUSES, *SCHOOLS)
"""Where people come to a reader by themselves."""
DESK: Final = "desk-1"
"""A desk in the city hall: nobody comes there but who holds a card by `kazasu-sim hold`."""
PLACES: Final = (*GATES, *TAXIS, DESK)
LABELS: Final = {
    "bus-1": ("1系統 のりば", "Bus, line 1"),
    "bus-2": ("8系統 のりば", "Bus, line 8"),
    "school-1": ("第一小学校 玄関", "First school, entrance"),
    "school-2": ("第二小学校 玄関", "Second school, entrance"),
    "taxi-1": ("ほくとタクシー 1号車", "Hokuto Taxi, car 1"),
    "taxi-2": ("みなみタクシー 1号車", "Minami Taxi, car 1"),
    DESK: ("市役所 1番窓口", "City hall, desk 1"),
}
SCHOOL_OF: Final = {"school-1": "daiichi-sho", "school-2": "daini-sho"}
COMPANIES: Final = {"taxi-1": "hokuto-taxi", "taxi-2": "minami-taxi"}
"""Whose a taxi is; buses and the desk are the city's."""
ORGANISATION_LABELS: Final = {
    "daiichi-sho": ("第一小学校", "First school"),
    "daini-sho": ("第二小学校", "Second school"),
    "hokuto-taxi": ("ほくとタクシー株式会社", "Hokuto Taxi"),
    "minami-taxi": ("みなみタクシー有限会社", "Minami Taxi"),
}
SERVES: Final = {
    **dict.fromkeys(BUSES, (SENIOR_PASS,)),
    **dict.fromkeys(SCHOOLS, (ATTENDANCE,)),
    **dict.fromkeys(TAXIS, (TAXI,)),
    DESK: (TAXI, SENIOR_PASS, ATTENDANCE),
}
"""The programmes of each place, in the order of looking up."""
TRIAGE_AT: Final = "school-1"
"""Where a clerk can assign a card that no roster knows."""
REPEAT_WINDOW_S: Final = 600
"""Longer than a real bus's, since a town minute is short: at 120 times real, 5 s."""
FROM_AGE: Final = 70
"""As the town's riders are drawn (hw.sim.people)."""
CITY_PAYS_YEN: Final = 110
"""Of a fare of 160 yen, the least on many town buses."""
IDLE_MINUTES: Final = 720
"""The most that a fleet lets a clerk be away."""
CARD_COLUMNS: Final = ("scheme", "identifier", "not_before")
MEMBER_COLUMNS: Final = (
    "registration_number",
    "name",
    "birth_date",
    "category",
    "valid_from",
    "valid_to",
)
TERMS_COLUMNS: Final = ("registration_number", "valid_from", "organisation")


class Ports(NamedTuple):
    """Of the fleet, on this machine; named as in a town file."""

    readers: int
    fleet: int
    devices: int
    console: int
    office: int


class ReaderPorts(NamedTuple):
    """Of one reader: the path of its antenna, and where its pages are."""

    front_end: str
    page: int
    tablet: int = 0
    """Where a taxi's tablets call; 0: they have no use there."""
    gpsd: int = 0
    """Where a taxi's receiver is asked; 0: there is none."""


def town_file(ports: Ports, readers: dict[str, ReaderPorts]) -> str:
    """Return the town as `kazasu-provision local --town` reads it."""
    lines = [f"tenant = {json.dumps(TENANT)}", "", "[ports]"]
    lines += [f"{name} = {port}" for name, port in ports._asdict().items()]
    for place, own in readers.items():
        values = {
            "name": place,
            "kind": place.partition("-")[0],
            "line": LINES.get(place, ""),
            "programmes": SERVES[place],
            "triage_programmes": [ATTENDANCE] if place == TRIAGE_AT else [],
            "label_ja": LABELS[place][0],
            "label_en": LABELS[place][1],
            "front_end": own.front_end,
            "technologies": ["106B", "212F", "106A"],
            "page_port": own.page,
            "organisation": (COMPANIES | SCHOOL_OF).get(place, ""),
            "tablet_host": HOST if own.tablet else "",
            "tablet_port": own.tablet,
            "gpsd": f"{HOST}:{own.gpsd}" if own.gpsd else "",
        }
        lines += ["", "[[place]]", *_pairs(values)]
    for organisation, (ja, en) in ORGANISATION_LABELS.items():
        named = {"name": organisation, "label_ja": ja, "label_en": en}
        lines += ["", "[[organisation]]", *_pairs(named)]
    return "\n".join(lines) + "\n"


def _pairs(values: Mapping[str, object]) -> list[str]:
    return [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in values.items()]


def lead_through(edge_toml: Path, broker_port: int, devices_port: int) -> None:
    """Let a reader reach the fleet through its own mobile network. Raises ValueError."""
    text = edge_toml.read_text("utf-8")
    text, brokers = re.subn(r"(?m)^broker_port = \d+$", f"broker_port = {broker_port}", text)
    text, devices = re.subn(
        r'(?m)^(devices_url = "https://[^:"]+):\d+"$', rf'\g<1>:{devices_port}"', text
    )
    if (brokers, devices) != (1, 1):
        raise ValueError(f"{edge_toml} names no broker_port or devices_url to lead elsewhere")
    edge_toml.write_text(text, "utf-8")


def leave_signed_in(fleet_toml: Path) -> None:
    """Let clerks be away for long: half an hour of this town is over in a minute."""
    fleet_toml.write_text(
        f"office_idle_minutes = {IDLE_MINUTES}\n{fleet_toml.read_text('utf-8')}", "utf-8"
    )


def cards_file(path: Path, members: Iterable[Enrolment]) -> None:
    """Write the list of members with what a desk read from their cards."""
    rows = [(*_identifier(person), *_member(person)) for person in members if person.scheme]
    _write(path, [(*CARD_COLUMNS, *MEMBER_COLUMNS), *rows])


def members_file(path: Path, members: Iterable[Enrolment]) -> None:
    """Write the list of members whose cards nobody has read yet."""
    rows = [_member(person) for person in members if not person.scheme]
    _write(path, [MEMBER_COLUMNS, *rows])


def terms_file(path: Path, people: Iterable[Person], day: datetime.date) -> None:
    """Write at which school each member of attendance works, since April: a customary week."""
    since = _april(day).isoformat()
    rows = [
        (member.member, since, SCHOOL_OF[one.place])
        for one in people
        if (member := one.enrolment) and member.programme == ATTENDANCE
    ]
    _write(path, [TERMS_COLUMNS, *rows])


def teacher(people: Iterable[Person]) -> Enrolment | None:
    """Return the first who holds a card at a school and is known there; None without anybody."""
    known = (one.enrolment for one in people if one.place in SCHOOL_OF and one.expects is Code.OK)
    return next(filter(None, known), None)


def _write(path: Path, rows: Iterable[tuple[str, ...]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)


def _identifier(person: Enrolment) -> tuple[str, str, str]:
    """Scheme, identifier and not_before as a desk's list has them."""
    if person.scheme is Scheme.JPKI_AUTH:
        serial, not_before = person.identifier[:-13], person.identifier[-13:]
        return person.scheme, serial.hex(), not_before.decode()
    if person.scheme is Scheme.COMMON_AP:
        return person.scheme, person.identifier.decode(), ""
    return str(person.scheme), person.identifier.hex(), ""


def _member(person: Enrolment) -> tuple[str, ...]:
    days = (person.born, person.valid_from, person.valid_to)
    born, valid_from, valid_to = (day.isoformat() for day in days)
    return person.member, person.name, born, person.category, valid_from, valid_to


class Statement(NamedTuple):
    """On what ground a programme of this town knows cards, as `schemes state` reads it."""

    programme: str
    schemes: tuple[Scheme, ...]
    signed_by: str
    office: str
    ground: str

    def command(self, day: datetime.date) -> list[str]:
        """Return the words behind `kazasu-fleet schemes state`, signed a year before a day."""
        dated = (day - datetime.timedelta(365)).isoformat()
        options = {
            "--signed-by": self.signed_by,
            "--office": self.office,
            "--ground": self.ground,
            "--dated": dated,
            "--from": dated,
        }
        words = [word for option in options.items() for word in option]
        return [self.programme, *self.schemes, *words]


STATEMENTS: Final = (
    Statement(
        SENIOR_PASS,
        (Scheme.COMMON_AP, Scheme.FELICA_IDM),
        "福祉部長 高橋誠",
        "高齢福祉課",
        "敬老乗車証条例第3条、交通事業者との利用契約",
    ),
    Statement(
        SENIOR_PASS,
        (Scheme.JPKI_AUTH,),
        "福祉部長 高橋誠",
        "高齢福祉課",
        "公的個人認証法第38条の4に基づく業務委託契約（見本）",
    ),
    Statement(
        ATTENDANCE,
        (Scheme.COMMON_AP, Scheme.FELICA_IDM, Scheme.STAFF_TOKEN),
        "教育長 田中実",
        "教職員課",
        "教職員服務規程第12条",
    ),
    Statement(
        ATTENDANCE,
        (Scheme.JPKI_AUTH,),
        "教育長 田中実",
        "教職員課",
        "公的個人認証法第38条の4に基づく業務委託契約（見本）",
    ),
    Statement(
        TAXI,
        (Scheme.COMMON_AP,),
        "政策部長 小林恵",
        "交通政策課",
        "タクシー利用支援要綱第6条",
    ),
    Statement(
        TAXI,
        (Scheme.JPKI_AUTH,),
        "政策部長 小林恵",
        "交通政策課",
        "公的個人認証法第38条の4に基づく業務委託契約（見本）",
    ),
)
"""Made up, like the town; what a real one has to state is in docs/clerk.md."""


class Consent(NamedTuple):
    """To what members of a programme consent here, as `consent add` reads it."""

    programme: str
    ordinance: str
    article: str
    wording: str
    wording_en: str
    contact: str

    def command(self, day: datetime.date) -> list[str]:
        """Return the words behind `kazasu-fleet consent add`, dated a year before a day."""
        dated = (day - datetime.timedelta(365)).isoformat()
        options = {
            "--ordinance": self.ordinance,
            "--article": self.article,
            "--dated": dated,
            "--wording": self.wording,
            "--wording-en": self.wording_en,
            "--contact": self.contact,
            "--from": dated,
        }
        return [self.programme, *(word for option in options.items() for word in option)]


CONSENTS: Final = (
    Consent(
        SENIOR_PASS,
        "敬老乗車証条例（見本）",
        "第5条第1項",
        "敬老乗車証の利用に必要な範囲で、カードの識別子を市が利用することに同意します。",
        "I consent to the city's using my card's identifier for the senior bus pass only.",
        "高齢福祉課 0154-00-0000",
    ),
    Consent(
        ATTENDANCE,
        "教職員服務規程（見本）",
        "第12条",
        "出退勤の記録に必要な範囲で、カードの識別子を市が利用することに同意します。",
        "I consent to the city's using my card's identifier for attendance only.",
        "教職員課 0154-00-0001",
    ),
    Consent(
        TAXI,
        "タクシー利用支援要綱（見本）",
        "第6条第2項",
        "タクシー運賃の支援に必要な範囲で、カードの識別子を市が利用することに同意します。",
        "I consent to the city's using my card's identifier for the taxi subsidy only.",
        "交通政策課 0154-00-0002",
    ),
)
"""Made up too; 0154-00 is no exchange that anybody has."""


def _april(day: datetime.date) -> datetime.date:
    return datetime.date(day.year if day.month >= 4 else day.year - 1, 4, 1)


def rule_tables(day: datetime.date) -> dict[str, dict[str, Any]]:
    """Return the table of each programme that is in force on a day, as `rules add` reads it."""
    april = _april(day)
    return {
        SENIOR_PASS: {
            "version": f"{SENIOR_PASS}/{april:%Y-%m}",
            "valid_from": april.isoformat(),
            "parameters": {
                "rider_pays_yen": 50,
                "city_pays_yen": CITY_PAYS_YEN,
                "from_time": "06:30:00",
                "to_time": "21:00:00",
                "lines_of_category": {"town": [LINES["bus-1"]]},
                "repeat_window_s": REPEAT_WINDOW_S,
                "from_age": FROM_AGE,
            },
        },
        ATTENDANCE: {
            "version": f"{ATTENDANCE}/{april:%Y-%m}",
            "valid_from": april.isoformat(),
            "parameters": {"repeat_window_s": REPEAT_WINDOW_S},
        },
        TAXI: {
            "version": f"{TAXI}/{april:%Y-%m}",
            "valid_from": april.isoformat(),
            "parameters": {"rides_per_year": 70, "to_time": "19:00:00"},
        },
    }
