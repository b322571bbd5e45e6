"""The HTTP doors as they are served: real applications behind real listeners, and who is let in."""

import asyncio
import functools
import re
import threading
import time
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

import requests
import schemathesis

from edge.web.app import serve as serve_page
from tests.edge.test_page import Site as ReaderPage
from tests.edge.test_page import config
from tests.web.conftest import open_sites
from tests.web.town import PASSWORD, Town

API: Final = Path(__file__).parents[2] / "docs" / "api"
SLOW_S: Final = 5.0
"""No answer may take longer, on a machine with other work."""
T = TypeVar("T")


@functools.cache
def document(name: str) -> dict[str, Any]:
    """Return one of docs/api: read once, which takes a second, and changed by nobody."""
    read: dict[str, Any] = schemathesis.openapi.from_path(API / f"{name}.yaml").raw_schema
    return read


@dataclass
class Site:
    """One door: where it is, and a session that is let in."""

    name: str
    url: str
    http: requests.Session = field(init=False, default_factory=requests.Session)
    fields: dict[str, str] = field(default_factory=dict)
    """What each form carries."""
    cookies: dict[str, str] = field(default_factory=dict)
    """Those of the session that is let in."""
    headers: dict[str, str] = field(default_factory=dict)
    """What each request carries."""

    def __post_init__(self) -> None:
        self.http.trust_env = False  # no proxy and no authority of the machine's

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def come_back(self) -> None:
        """Hold the session again, whatever a strange cookie of ours was answered with."""
        self.http.cookies.clear()
        self.http.cookies.update(self.cookies)

    def lives(self) -> None:
        """Make sure that the process still answers, and soon."""
        path = "/v1/keys" if self.name == "devices" else "/healthz"
        answer = self.http.get(f"{self.url}{path}", timeout=SLOW_S)
        assert answer.status_code == 200, answer.text


@contextmanager
def looping() -> Iterator[asyncio.AbstractEventLoop]:
    """Run an event loop in a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield loop
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()


@contextmanager
def served(work: Coroutine[Any, Any, None]) -> Iterator[None]:
    """Run one of our `serve` functions until the end of the block."""
    with looping() as loop:
        task = asyncio.run_coroutine_threadsafe(work, loop)
        try:
            yield
        finally:
            task.cancel()
            asyncio.run_coroutine_threadsafe(_settled(), loop).result(10)


async def _settled() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    await asyncio.gather(*others, return_exceptions=True)
    for _ in range(10):  # transports say goodbye in later turns of the loop
        await asyncio.sleep(0.01)


@contextmanager
def open_pages(town: Town) -> Iterator[list[Site]]:
    """Serve console and office, and sign in at each through its own form."""
    with open_sites(town) as sites:
        yield [
            signed_in(Site("console", sites.console), "umi"),
            signed_in(Site("office", sites.office), "hana"),
        ]


def signed_in(site: Site, account: str) -> Site:
    form = {"account": account, "password": PASSWORD, "csrf": token(site, "/login")}
    answer = site.http.post(f"{site.url}/login", data=form, timeout=SLOW_S)
    assert answer.status_code == 200, answer.url
    site.fields = {"csrf": token(site, "/")}
    site.cookies = {name: value or "" for name, value in site.http.cookies.items()}
    return site


def token(site: Site, path: str) -> str:
    found = re.search(
        r'name="csrf" value="([^"]+)"', site.http.get(f"{site.url}{path}", timeout=SLOW_S).text
    )
    assert found
    return found[1]


@contextmanager
def open_reader_page(kind: str = "bus") -> Iterator[Site]:
    """Serve a reader's own page, whose card half confirms each press."""
    reader = ReaderPage(config(kind))
    site = Site("reader-page", reader.url)
    site.headers = {"Origin": site.url}
    with served(serve_page(reader.board, reader.config)):
        wait_for(site)
        yield site


def wait_for(site: Site) -> None:
    """Return when the door is open."""
    deadline = time.monotonic() + 10
    while True:
        try:
            return site.lives()
        except requests.ConnectionError:
            assert time.monotonic() < deadline, f"{site.name} does not answer"
            time.sleep(0.02)
