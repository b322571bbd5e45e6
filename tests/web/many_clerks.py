"""Many clerks at once in one office: each enrols, searches, corrects and takes back, and counts.

    python -m tests.web.many_clerks [--clerks 50] [--seconds 20] [--postgresql]

prints how long answers took. What each of them was told was kept is looked up afterwards.
"""

import argparse
import contextlib
import re
import statistics
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import quote

import sqlalchemy as sa

from fleet.schema import member, person
from tests.real_postgres import start_postgres
from tests.web.conftest import Sites, open_sites
from tests.web.town import Town, build_town
from tests.web.visitor import Answer, Visitor, add_person

PATIENCE_S: Final = 300
"""For everybody to be there: two passwords are hashed at once, and some are sent away."""


@dataclass
class Clerk:
    """One of them, with all that he was told."""

    number: int
    visitor: Visitor
    token: str = ""
    kept: dict[str, str] = field(default_factory=dict)
    """Names that stand in the register, by number, as far as he knows."""
    taken_back: set[str] = field(default_factory=set)
    took_s: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def sign_in(self) -> None:
        """Come in the morning, when all others come: who is told to wait tries again."""
        ends = time.monotonic() + PATIENCE_S
        while self.visitor.sign_in(f"clerk-{self.number}").status == 429:
            assert time.monotonic() < ends, "nobody else gets in"
        self.token = self.visitor.token()

    def round(self, n: int) -> None:
        """Enrol somebody, find and correct him; every second one is taken back at once."""
        number, name = f"M-{self.number}-{n}", f"山本 {self.number}の{n}"
        member_id = self.enrol(number, name)
        found = self.do("search", self.get, f"/members?programme=attendance&search={number}")
        assert name in found.text
        if n % 2:
            undone = self.do("undo", self.post, f"/enrol/done/{member_id}/undo")
            assert (undone.status, name in undone.text) == (200, True), undone.status
            del self.kept[number]
            self.taken_back.add(number)
            return
        page = self.do("look", self.get, f"/members/{member_id}").text
        stamp = re.search(r'name="stamp" value="(\w+)"', page)
        assert stamp is not None
        fields = {"stamp": stamp[1], "name": f"{name} 改", "kana": "ヤマモト", "why": "typo"}
        self.done(self.do("correct", self.post, f"/members/{member_id}/correct", **fields))
        self.kept[number] = fields["name"]

    def enrol(self, number: str, name: str) -> str:
        """Enrol somebody without a card; return the row's number."""
        form = {"registration_number": number, "name": name, "kana": "ヤマモト"}
        form |= {"consent": "yes", "basis": "1", "medium": "paper", "how": "none"}
        done = self.do("enrol", self.post, "/enrol/attendance", **form)
        self.done(done)
        self.kept[number] = name
        found = re.fullmatch(r"/enrol/done/(\d+)", done.location)
        assert found is not None, done.location
        return found[1]

    def done(self, answer: Answer) -> None:
        assert answer.status == 303, answer.status

    def get(self, path: str) -> Answer:
        return self.visitor.get(quote(path, safe="/?=&"))

    def post(self, path: str, **fields: str) -> Answer:
        return self.visitor.post_with(self.token, path, **fields)

    def do(self, what: str, ask: Callable[..., Answer], path: str, /, **fields: str) -> Answer:
        """Ask for something and take the time."""
        began = time.perf_counter()
        answer = ask(path, **fields)
        self.took_s[what].append(time.perf_counter() - began)
        assert answer.status < 500, (what, answer.status)
        return answer


def work(sites: Sites, count: int, goes_on: Callable[[int], bool]) -> list[Clerk]:
    """Let so many clerks work at once, round after round; return them with what they know."""
    clerks = [Clerk(number, Visitor(sites.office)) for number in range(count)]
    for clerk in clerks:
        add_person(sites.town, f"clerk-{clerk.number}", "attendance:clerk")
    all_here = threading.Barrier(count)

    def day(clerk: Clerk) -> None:
        clerk.sign_in()
        all_here.wait(PATIENCE_S)
        n = 0
        while goes_on(n):
            clerk.round(n)
            n += 1

    with ThreadPoolExecutor(count) as people:
        list(people.map(day, clerks))
    return clerks


def lost(town: Town, clerks: list[Clerk]) -> dict[str, tuple[str, str | None]]:
    """Return what somebody was told and what stands there instead, by registration number."""
    wanted = sa.select(member.c.registration_number, person.c.name).join(
        person, person.c.id == member.c.person_id
    )
    there: dict[str, str] = dict(map(tuple, town.ask(wanted, persons=True)))
    told = {number: name for clerk in clerks for number, name in clerk.kept.items()}
    gone = {number for clerk in clerks for number in clerk.taken_back}
    missing = {n: (name, there.get(n)) for n, name in told.items() if there.get(n) != name}
    return missing | {n: ("", there[n]) for n in gone & there.keys()}


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(prog="python -m tests.web.many_clerks")
    parser.add_argument("--clerks", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--postgresql", action="store_true")
    given = parser.parse_args()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kz-")))
        url = ""
        if given.postgresql:
            server = stack.enter_context(start_postgres())
            url = server.url(server.empty())
        sites = stack.enter_context(open_sites(build_town(folder, url)))
        began: list[float] = []
        seconds: float = given.seconds

        def goes_on(n: int) -> bool:
            began.append(time.monotonic())
            return time.monotonic() - began[0] < seconds

        clerks = work(sites, given.clerks, goes_on)
        took: dict[str, list[float]] = defaultdict(list)
        for clerk in clerks:
            for what, times in clerk.took_s.items():
                took[what] += times
                took["all"] += times
        for what, times in took.items():
            half, most = (round(1000 * statistics.quantiles(times, n=20)[at]) for at in (9, 18))
            print(f"{what:8} {len(times):6}  p50 {half:6} ms  p95 {most:6} ms")
        print("lost:", lost(sites.town, clerks))


if __name__ == "__main__":
    main()
