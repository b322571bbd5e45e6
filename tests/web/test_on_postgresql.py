"""The same pages over PostgreSQL: every page that a link leads to, and what people do on them."""

import html
import re
from collections.abc import Iterator
from http.cookiejar import CookieJar
from urllib.error import HTTPError
from urllib.parse import urlencode, urljoin
from urllib.request import HTTPCookieProcessor, OpenerDirector, build_opener

import pytest
import sqlalchemy as sa

from fleet.schema import alarm, card, gap, member, triage
from tests.real_postgres import Postgres
from tests.web.conftest import Sites, open_sites
from tests.web.town import PASSWORD, build_town

VARIANTS_MAX = 3
"""Pages opened of one path, with different queries: sorted so, filtered thus."""


class Visitor:
    """A person who signed in at one site, without a browser."""

    def __init__(self, site: str, name: str) -> None:
        self._site = site
        self._opener: OpenerDirector = build_opener(HTTPCookieProcessor(CookieJar()))
        self.post("/login", from_page="/login", account=name, password=PASSWORD)

    def get(self, path: str) -> tuple[int, str]:
        try:
            with self._opener.open(self._site + path, timeout=10) as answer:
                return answer.status, answer.read().decode(errors="replace")  # or a PDF
        except HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def post(self, path: str, from_page: str, **fields: str) -> str:
        """Hand in a form with the token of the page on which it stands; return the page after."""
        status, page = self.get(from_page)
        assert status == 200, from_page
        token = re.search(r'name="csrf" value="([^"]+)"', page)
        assert token is not None
        data = urlencode({"csrf": token[1], **fields}).encode()
        with self._opener.open(self._site + path, data, timeout=10) as answer:
            return str(answer.read().decode())

    def follow_everything(self) -> set[str]:
        """Open every page that a link leads to; return their paths without query."""
        waiting, seen = ["/"], {"/": {"/"}}
        while waiting:
            path = waiting.pop()
            status, page = self.get(path)
            assert status == 200, (path, page)
            for link in re.findall(r'href="([^"]+)"', page):
                target = urljoin(path, html.unescape(link)).partition("#")[0]
                if not target.startswith("/") or target.startswith(("/static", "/logout")):
                    continue
                variants = seen.setdefault(target.partition("?")[0], set())
                if target not in variants and len(variants) < VARIANTS_MAX:
                    variants.add(target)
                    waiting.append(target)
        return set(seen)


@pytest.fixture(scope="module")
def sites(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sites]:
    url = postgres.url(postgres.empty())
    town = build_town(tmp_path_factory.mktemp("town"), url)
    town.hold_stranger()
    with open_sites(town) as opened:
        yield opened
    postgres.drop(town.config.databases)


def test_the_consoles_pages_answer(sites: Sites) -> None:
    operator = Visitor(sites.console, "umi")
    assert {"/", "/readers", "/readers/bus-1", "/gaps/1"} <= operator.follow_everything()
    for sort in ("urgency", "name", "place", "heard", "waiting", "gaps"):
        for direction in ("", "&descending=yes"):
            status, page = operator.get(f"/readers?sort={sort}{direction}&search=BUS")
            assert (status, "bus-1" in page) == (200, True)
    for path in ("/now", "/readers.csv", "/readers/bus-1/now"):
        assert operator.get(path)[0] == 200
    for path in ("/readers/%00", "/gaps/99999999999999999999999", "/alarms/9223372036854775808"):
        assert operator.get(path)[0] == 404


def test_the_offices_pages_answer(sites: Sites) -> None:
    clerk = Visitor(sites.office, "hana")
    schools = {"/school", "/school/requests", "/school/month", "/school/day", "/board"}
    assert {"/", "/members", "/attendance", "/cards/1", *schools} <= clerk.follow_everything()
    for search in ("さとう", "サトウ", "佐藤", "t-001", "T-001"):
        status, page = clerk.get(
            "/members?" + urlencode({"programme": "attendance", "search": search})
        )
        assert (status, "佐藤" in page) == (200, True), search
    for path in ("/members?search=%F0%9F%9A%8C", "/cards/now", "/members/1"):
        assert clerk.get(path)[0] == 200
    assert clerk.get("/members?search=%00")[0] == 422


@pytest.mark.parametrize(
    "path", ["/readers/%00", "/readers?q=%00", "/readers?place=%00", "/gaps/%00", "/%00"]
)
def test_a_path_that_the_database_cannot_hold_is_no_failure_of_ours(
    sites: Sites, path: str
) -> None:
    assert Visitor(sites.console, "umi").get(path)[0] in (200, 303, 400, 404)


@pytest.mark.parametrize(
    "path", ["/members?q=%00", "/members/%00/%00", "/attendance?day=%00", "/triage/%00"]
)
def test_a_question_with_a_nul_to_the_office_is_none_either(sites: Sites, path: str) -> None:
    assert Visitor(sites.office, "hana").get(path)[0] in (200, 303, 400, 403, 404)


def test_an_operator_closes_a_gap_and_an_alarm(sites: Sites) -> None:
    operator = Visitor(sites.console, "umi")
    operator.post("/gaps/1", "/gaps/1", why="reader was scrapped", sure="yes")
    ((how, who),) = sites.town.ask(sa.select(gap.c.how, gap.c.closed_by).where(gap.c.id == 1))
    assert (how, who) == ("written-off", "umi")
    ((number,),) = sites.town.ask(sa.select(alarm.c.id).where(alarm.c.kind == "quarantine"))
    operator.post(f"/alarms/{number}", f"/alarms/{number}", why="repaired", sure="yes")
    assert sites.town.ask(sa.select(alarm.c.id).where(alarm.c.cleared_at_ms.is_(None))) == []


def test_a_clerk_gives_a_card_to_a_member_and_stops_another(sites: Sites) -> None:
    clerk = Visitor(sites.office, "hana")
    ((number,),) = sites.town.ask(sa.select(triage.c.id), persons=True)
    member_of = sa.select(member.c.id).where(member.c.programme == "attendance")
    (tanaka, sato) = (
        sites.town.ask(member_of.where(member.c.registration_number == wanted), persons=True)[0].id
        for wanted in ("T-004", "T-001")
    )
    page = f"/cards/{number}"
    clerk.post(f"{page}/member", page, registration_number="T-004")
    cards = sa.select(card.c.id, card.c.stopped_from_ms)
    assert len(sites.town.ask(cards.where(card.c.member_id == tanaka), persons=True)) == 1
    ((held, _),) = sites.town.ask(cards.where(card.c.member_id == sato), persons=True)
    path = f"/members/{sato}"
    clerk.post(f"{path}/cards/{held}/stop", path, why="lost", sure="yes")
    ((_, stopped),) = sites.town.ask(cards.where(card.c.id == held), persons=True)
    assert stopped is not None


def test_a_clerk_enrols_somebody_and_takes_it_back(sites: Sites) -> None:
    clerk = Visitor(sites.office, "hana")
    form = {"registration_number": "T-009", "name": "渡辺 舞", "kana": "わたなべ まい"}
    form |= {"consent": "yes", "basis": "1", "medium": "paper", "how": "none"}
    done = clerk.post("/enrol/attendance", "/enrol?programme=attendance", **form)
    undo = re.search(r'action="(/enrol/done/\d+/undo)"', done)
    assert undo is not None
    again = clerk.post(undo[1], undo[1].removesuffix("/undo"))
    assert 'value="渡辺 舞"' in again
    numbers = sites.town.ask(sa.select(member.c.registration_number), persons=True)
    assert "T-009" not in {row.registration_number for row in numbers}
