"""Pictures of the taxi's office pages for the documents: two companies, two months, a real browser.

A demo lasts a morning; a month that is claimed, and figures with a past, are written here.
"""

import datetime
import random
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import sqlalchemy as sa
from playwright.sync_api import Browser, sync_playwright

from fleet import schema
from programmes.calendar import start_of_day_ms
from tests.browser import chromium
from tests.fleet.claim_kit import settle_ride
from tests.fleet.company_kit import (
    ASAHI,
    DAY,
    NOW_MS,
    TAXI,
    add_companies,
    add_members,
    reader_of,
    send,
    shift,
)
from tests.fleet.ridden_kit import COMPANIES, Ridden, add_rides, add_taxis
from tests.web.conftest import Sites, open_sites
from tests.web.screenshots import WINDOW, keep, open_page, sign_in_as
from tests.web.test_claims_pages import make
from tests.web.town import PASSWORD, Town, empty_town
from tests.web.visitor import add_person

SPOTS: Final = ("36.389,139.060", "36.380,139.070")
MINUTE_MS: Final = 60_000


def call(connection: sa.Connection, names: Iterable[tuple[str, str]]) -> None:
    """Say what companies are called."""
    for name, label_ja in names:
        row = {"name": name, "label_ja": label_ja, "label_en": name}
        connection.execute(schema.organisation.insert().values(row))


def two_months(town: Town) -> None:
    """Rides of April, May and the first days of June, some of them shared, some on paper."""
    drawn = random.Random(1)
    some = []
    for month, rides in ((4, 150), (5, 150), (6, 30)):
        for _ in range(rides):
            seats, vehicle = drawn.choice((1, 1, 1, 2, 3)), drawn.choice((1, 2))
            fare = drawn.randrange(71, 400) * 10
            last_day = 2 if month == 6 else 28
            some.append(
                Ridden(
                    datetime.date(2026, month, drawn.randint(1, last_day)),
                    tuple(f"c{drawn.randrange(60) + 60 * seat}" for seat in range(seats)),
                    f"taxi-{vehicle}",
                    COMPANIES[vehicle - 1],
                    datetime.time(drawn.randrange(7, 18), drawn.randrange(60)),
                    fare=fare,
                    subsidy=min(fare // 20 * 10, 1_000) if seats == 1 else min(500 * seats, fare),
                    medium=drawn.choice(("card", "card", "paper")),
                    back=drawn.random() < 0.03,
                    on=SPOTS[0],
                    off=SPOTS[1],
                )
            )
    fleet = town.fleet()
    with fleet.write() as connection:
        add_taxis(connection)
        call(connection, zip(COMPANIES, ("ほくとタクシー", "みなみタクシー"), strict=True))
        add_rides(connection, some)
    fleet.close()
    add_person(town, "tomo", f"{TAXI}:clerk")


def companies(town: Town) -> None:
    """A company with two vehicles, one of them silent with unsent rides, and its May."""
    town.clock.at_ms = NOW_MS
    fleet, people = town.fleet(), town.persons()
    drawn = random.Random(2)
    with fleet.write() as connection:
        add_companies(connection)
        call(connection, [(ASAHI, "あさひタクシー")])
        for n, day in enumerate((4, 4, 5, 11, 12, 12, 18, 20, 27, 29), 2):
            at_ms = start_of_day_ms(datetime.date(2026, 5, day), drawn.randrange(8, 17))
            wrong = {"subsidy_yen": 400, "riders_pay_yen": 1_940} if n == 11 else {}
            fare_yen = 2_340 if n == 11 else drawn.randrange(80, 300) * 10
            settle_ride(connection, n, at_ms, fare_yen, changes=wrong)
        for n, hour in enumerate((9, 11, 13), 12):
            settle_ride(connection, n, start_of_day_ms(DAY, hour), 1_800)
        send(connection, "taxi-1", shift(15, "17", NOW_MS - 200 * MINUTE_MS))
        send(connection, "taxi-2", shift(2, "23", NOW_MS - 300 * MINUTE_MS))
        for place, silent_min, waiting in (("taxi-1", 0, 0), ("taxi-2", 190, 4)):
            row = {"reader": reader_of(place), "online": not silent_min, "ready": True}
            row |= {"rosters": [], "status_at_ms": NOW_MS, "waiting": waiting, "agent": "k 1.2"}
            row |= {"received_at_ms": NOW_MS - silent_min * MINUTE_MS}
            connection.execute(schema.reader_state.insert().values(row))
    with people.write() as connection:
        add_members(connection)
    people.close()
    fleet.close()
    add_person(town, "mika", f"{TAXI}:company:{ASAHI}")
    add_person(town, "tomo", f"{TAXI}:clerk")


def take(
    browser: Browser, sites: Sites, who: str, name: str, path: str, *, full: bool = True
) -> None:
    """Write the picture of one page as somebody sees it."""
    page = open_page(browser, WINDOW)
    sign_in_as(page, sites.office, who, PASSWORD)
    page.goto(sites.office + path)
    page.locator("main h1").wait_for()
    keep(page, name, full=full)
    page.close()


def main() -> None:
    """Take the pictures."""
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        browser = playwright.chromium.launch(**chromium())
        town = empty_town(Path(folder) / "figures")
        two_months(town)
        with open_sites(town) as sites:
            take(browser, sites, "tomo", "taxi-figures", "/taxi?year=2026", full=False)
        town = empty_town(Path(folder) / "companies")
        companies(town)
        with open_sites(town) as sites:
            take(browser, sites, "mika", "taxi-vehicles", "/vehicles")
            number = make(sites)
            take(browser, sites, "tomo", "taxi-claim", f"/claims/{number}")
        browser.close()


if __name__ == "__main__":
    main()
