"""Who looked at whom: found by account, number, day and kind; and looking is a line itself."""

import csv
import io

import pytest

from fleet.schema import person_audit
from tests.web.conftest import Sites
from tests.web.town import NOW_MS
from tests.web.visitor import Visitor, visitor

DAY_MS = 24 * 3600_000
LINES = (
    ("hana", "member.seen", "attendance T-001", "", 0),
    ("hana", "member.seen", "attendance T-002", "", 0),
    ("hana", "members.listed", "attendance", "T-001 T-003", 0),
    ("kei", "card.stopped", "attendance T-001", "lost", 1),
    ("kei", "member.seen", "attendance T-0011", "", 1),
    ("kei", "member.seen", "senior-pass S-001", "", 0),
    ("kei", "member.seen", "attendance T-004", "", 9),
)
"""Who, what, to what, detail, and how many days ago."""


@pytest.fixture
def ana(sites: Sites) -> Visitor:
    """An auditor of attendance, after some days of work."""
    names = ("who", "what", "subject", "detail")
    rows = [
        dict(zip(names, line, strict=False)) | {"at_ms": NOW_MS - line[4] * DAY_MS}
        for line in LINES
    ]
    sites.town.change_persons(person_audit.insert().values(rows))
    return visitor(sites.office, sites.town, "ana", "attendance:auditor")


def found(ana: Visitor, query: str = "") -> list[tuple[str, str]]:
    """Return account and subject of each line in the file, without what the town began with."""
    text = ana.get(f"/looks/export?{query}").body.decode("utf-8-sig")
    rows = list(csv.reader(io.StringIO(text)))[1:]
    return [(row[1], row[3]) for row in rows if row[1] in ("hana", "kei")]


def test_the_last_week_is_shown_the_newest_first_and_nothing_of_other_programmes(
    ana: Visitor,
) -> None:
    assert found(ana) == [
        ("kei", "T-0011"),
        ("kei", "T-001"),
        ("hana", ""),
        ("hana", "T-002"),
        ("hana", "T-001"),
    ]
    page = ana.get("/looks").text
    assert "T-0011" in page
    assert "S-001" not in page
    assert "S-001" not in ana.get("/looks?programme=senior-pass").text


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("who=kei", [("kei", "T-0011"), ("kei", "T-001")]),
        ("number=T-001", [("kei", "T-001"), ("hana", ""), ("hana", "T-001")]),
        ("number=T-003", [("hana", "")]),
        ("kind=changes&number=T-001", [("kei", "T-001")]),
        ("kind=looks&who=kei", [("kei", "T-0011")]),
        ("kind=members.listed", [("hana", "")]),
        ("from=2026-06-02&to=2026-06-02", [("kei", "T-0011"), ("kei", "T-001")]),
        ("from=2026-05-01&to=2026-05-28", [("kei", "T-004")]),
        ("number=T-9", []),
    ],
)
def test_lines_are_found_by_account_number_kind_and_day(
    ana: Visitor, query: str, expected: list[tuple[str, str]]
) -> None:
    assert found(ana, query) == expected


@pytest.mark.parametrize(
    "query", ["to=0001-01-01", "to=9999-12-31", "from=9999-12-31&to=9999-12-31", "from=0001-01-01"]
)
def test_days_before_and_after_everything_are_answered(ana: Visitor, query: str) -> None:
    assert ana.get(f"/looks?{query}").status == 200
    assert ana.get(f"/looks/export?{query}").status == 200


def test_accounts_are_counted_so_that_browsing_shows(ana: Visitor) -> None:
    page = ana.get("/looks?kind=").text
    counts = page[page.index('id="h-counts"') : page.index('id="h-lines"')]
    plain = [row.split("</tr>")[0] for row in counts.split("<tr>")[2:]]
    hana = next(row for row in plain if ">hana<" in row)
    assert [cell.split("<")[0] for cell in hana.split('class="number">')[1:]] == [
        "3",
        "0",
        "3",
        "3",
    ]


def test_asking_is_on_record_and_so_is_the_file(sites: Sites, ana: Visitor) -> None:
    ana.get("/looks?number=T-001")
    ana.get("/looks/export?who=kei")
    rows = sites.town.ask(person_audit.select().order_by(person_audit.c.id), persons=True)
    mine = [(row.what, row.subject, row.detail) for row in rows if row.who == "ana"]
    assert mine == [
        ("looks.listed", "attendance", "2026-05-28 2026-06-03 T-001"),
        ("looks.exported", "attendance", "2026-05-28 2026-06-03 kei"),
    ]


@pytest.mark.parametrize("query", ["from=2026-07-01&to=2026-06-01", "from=2020-01-01", "page=%00"])
def test_days_that_cannot_be_are_said_and_something_is_shown(ana: Visitor, query: str) -> None:
    assert ana.get(f"/looks?{query}").status == 200
