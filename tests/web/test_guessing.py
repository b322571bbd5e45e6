"""Guessing passwords by many attempts at once gets no further than one after another."""

import http.client
import re
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import pytest

from fleet.accounts import FAILURES_MAX as LOCK_AT
from fleet.accounts import Accounts
from fleet.schema import account, audit
from fleet.web.signin import ADDRESS_FAILURES_MAX, FAILURES_MAX, SignInLimit
from tests.web.conftest import Sites
from tests.web.town import PASSWORD, StoppedClock, Town, town_in
from tests.web.visitor import Visitor

AT_ONCE = 40
DEADLINE_S = 20


def test_guesses_sent_at_once_are_not_looked_at_beyond_the_limit(sites: Sites) -> None:
    host = urlsplit(sites.console).netloc
    with closing(http.client.HTTPConnection(host, timeout=DEADLINE_S)) as first:
        first.request("GET", "/login")
        answer = first.getresponse()
        cookie = str(answer.headers["set-cookie"]).partition(";")[0]
        found = re.search(r'name="csrf" value="([^"]+)"', answer.read().decode())
    assert found
    start = threading.Barrier(AT_ONCE)

    def guess(n: int) -> int:
        body = urlencode({"csrf": found[1], "account": "umi", "password": f"wrong {n}"})
        headers = {"Cookie": cookie, "Content-Type": "application/x-www-form-urlencoded"}
        with closing(http.client.HTTPConnection(host, timeout=DEADLINE_S)) as connection:
            start.wait(DEADLINE_S)
            connection.request("POST", "/login", body, headers)
            return connection.getresponse().status

    with ThreadPoolExecutor(AT_ONCE) as people:
        said = list(people.map(guess, range(AT_ONCE)))
    assert set(said) == {401, 429}
    assert said.count(401) <= FAILURES_MAX
    (row,) = sites.town.ask(account.select().where(account.c.name == "umi"))
    assert row.failures == said.count(401)


@pytest.fixture
def town(towns: Path, tmp_path: Path) -> Town:
    shutil.copytree(towns / "empty", tmp_path / "state")
    return town_in(tmp_path / "state")


def test_guesses_from_one_address_pause_nobody_at_another(sites: Sites) -> None:
    """The proxy in front is the only one who ever connects, and says for whom."""
    guesser, mori = Visitor(sites.office), Visitor(sites.office)
    form = {"csrf": guesser.token(), "password": "wrong"}

    def guess(n: int, through: str) -> int:
        data = urlencode(form | {"account": f"anybody-{n}"}).encode()
        return guesser.send("/login", data, **{"X-Forwarded-For": through}).status

    by_proxy = "10.0.0.7, 203.0.113.9"  # what the guesser says himself stands before it
    said = [guess(n, by_proxy) for n in range(ADDRESS_FAILURES_MAX + 1)]
    assert said == [401] * ADDRESS_FAILURES_MAX + [429]
    assert guess(ADDRESS_FAILURES_MAX, f"10.0.0.8, {by_proxy}") == 429
    form = {"csrf": mori.token(), "account": "hana", "password": PASSWORD}
    data = urlencode(form).encode()
    assert mori.send("/login", data, **{"X-Forwarded-For": "203.0.113.10"}).status == 303


def test_failures_at_the_same_moment_are_all_counted_and_lock_the_account(town: Town) -> None:
    opened = town.fleet()
    accounts = Accounts(opened, town.clock)
    with ThreadPoolExecutor(4) as people:
        list(people.map(lambda n: accounts.sign_in("umi", f"wrong {n}"), range(LOCK_AT)))
    assert accounts.sign_in("umi", PASSWORD) is None
    opened.close()
    locked = [row.subject for row in town.ask(audit.select()) if row.what == "account.locked"]
    assert locked == ["umi"]


def test_an_attempt_counts_before_it_is_looked_at_and_a_success_is_forgotten() -> None:
    limit = SignInLimit(StoppedClock())
    assert [limit.reserve("a") for _ in range(FAILURES_MAX + 1)] == [True] * FAILURES_MAX + [False]
    limit.succeeded("a")
    assert limit.reserve("a")
