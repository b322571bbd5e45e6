"""A company is called by its name wherever people meet it, with its short name small beside."""

import csv
import datetime
import io
from collections.abc import Iterator

import pytest

from fleet import claim_file, claim_lines, claims, store
from fleet.claim_seal import ClaimSigner
from fleet.claims import Asked
from fleet.grants import Role
from fleet.paper import to_html
from fleet.schema import organisation, ride_share
from fleet.web import claim_page
from fleet.web.report_words import Words
from programmes.calendar import start_of_day_ms
from tests.fleet.claim_kit import KEY, SIGNER, TAXI, TENANT, settle_ride
from tests.fleet.company_kit import ASAHI, MINATO, NOW_MS, add_companies
from tests.web.conftest import Sites, open_sites
from tests.web.town import Town, empty_town
from tests.web.visitor import Visitor, add_person, visitor

MAY = datetime.date(2026, 5, 31)
NAME, NAME_EN = "旭中央交通株式会社", "Asahi Central"
SHOWN = f'{NAME} <span class="quiet small">{ASAHI}</span>'


@pytest.fixture(scope="module")
def sites(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sites]:
    """Two companies, of which one is named, with a claim of May each."""
    town = empty_town(tmp_path_factory.mktemp("names"))
    town.clock.at_ms = NOW_MS
    fill(town)
    with open_sites(town) as opened:
        yield opened


def fill(town: Town) -> None:
    fleet = town.fleet()
    at_ms = start_of_day_ms(datetime.date(2026, 5, 4), 9)
    with fleet.write() as connection:
        add_companies(connection)
        row = {"name": ASAHI, "label_ja": NAME, "label_en": NAME_EN}
        connection.execute(organisation.insert().values(row))
        over = settle_ride(connection, 2, at_ms, changes={"code": "used-up"})
        share = {"ride_id": over, "seat": 0, "credential": "c", "times": 1, "subsidy_yen": 750}
        connection.execute(ride_share.insert().values(share))
        settle_ride(connection, 2, at_ms, 1_500, "taxi-9", MINATO)
        for company in (ASAHI, MINATO):
            claims.make(connection, Asked(TAXI, company, MAY), None, "mika", NOW_MS)
    fleet.close()
    dispatch = store.open_fleet(town.config.databases, Role.DISPATCH)
    assert len(ClaimSigner(dispatch, TENANT, SIGNER).sign_waiting(NOW_MS)) == 2
    dispatch.close()
    add_person(town, "mika", f"{TAXI}:company:{ASAHI}")


@pytest.fixture(scope="module")
def city(sites: Sites) -> Visitor:
    return visitor(sites.office, sites.town, "tomo", f"{TAXI}:clerk", "*:admin")


def in_language(path: str, language: str) -> str:
    return f"{path}{'&' if '?' in path else '?'}lang={language}"


@pytest.mark.parametrize(
    "path",
    [
        "/claims",
        "/claims/1",
        f"/vehicles?company={ASAHI}",
        f"/vehicles/check?company={ASAHI}",
        f"/vehicles/enter?company={ASAHI}",
        "/taxi?year=2026",
        "/taxi/anomalies?month=2026-05",
        "/people",
        "/people/mika",
    ],
)
def test_a_page_shows_the_name_and_the_short_name_beside_it(city: Visitor, path: str) -> None:
    text = city.get(in_language(path, "ja")).text
    assert SHOWN in text
    assert f">{ASAHI}</option>" not in text
    english = city.get(in_language(path, "en")).text
    assert NAME not in english
    assert NAME_EN in english


@pytest.mark.parametrize("path", ["/claims", f"/vehicles?company={MINATO}", "/taxi?year=2026"])
def test_who_has_no_name_is_shown_as_the_registry_has_him(city: Visitor, path: str) -> None:
    assert MINATO in city.get(path).text


def test_a_company_sees_its_own_name_before_it_claims(sites: Sites) -> None:
    mika = Visitor(sites.office)
    mika.sign_in("mika")
    assert SHOWN in mika.get("/claims?until=2026-04-30").text


@pytest.mark.parametrize("path", ["/claims/export", "/taxi/export?year=2026"])
def test_a_list_as_a_file_has_both_names(city: Visitor, path: str) -> None:
    text = city.get(in_language(path, "ja")).text
    cells = [cell for row in csv.reader(io.StringIO(text)) for cell in row]
    assert f"{NAME}（{ASAHI}）" in cells
    assert MINATO in cells


def test_the_paper_has_the_name(sites: Sites) -> None:
    opened = sites.town.fleet()
    with opened.read() as connection:
        one = claims.load(connection, 1)
        lines = claim_lines.of_claim(connection, 1)
    opened.close()
    assert one is not None
    words = Words("ja", {}, {ASAHI: NAME})
    assert SHOWN in to_html("claim_paper.html", "ja", **claim_page.on_paper(one, lines, words))


def test_the_signed_file_keeps_to_the_short_name(city: Visitor) -> None:
    """A name may change; what was signed says what the registry knows for ever."""
    file = city.get("/claims/1/file").body
    assert claim_file.check(file, KEY.public_key()).organisation == ASAHI
    assert NAME not in file.decode()
