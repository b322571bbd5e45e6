"""A person at the office without a browser: cookies, forms with tokens, no redirect unseen."""

import re
from dataclasses import dataclass
from email.message import Message
from http.client import HTTPMessage
from http.cookiejar import CookieJar
from typing import IO
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import (
    HTTPCookieProcessor,
    HTTPRedirectHandler,
    OpenerDirector,
    Request,
    build_opener,
)

from fleet import accounts
from fleet.accounts import AccountRole
from fleet.rights import Right, parse
from tests.web.town import PASSWORD, Town

TIMEOUT_S = 20
BROWSER = "Mozilla/5.0 (Windows NT 10.0; rv:140.0) Gecko/20100101 Firefox/140.0"


class _Stay(HTTPRedirectHandler):
    """Shows a redirect as it is."""

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> None:
        return None


@dataclass
class Answer:
    """What came back."""

    status: int
    body: bytes
    headers: Message

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def location(self) -> str:
        return str(self.headers.get("Location", ""))


class Visitor:
    """One browser's cookies at one site."""

    def __init__(self, site: str) -> None:
        self.site = site
        self.cookies = CookieJar()
        self._opener: OpenerDirector = build_opener(HTTPCookieProcessor(self.cookies), _Stay)

    def get(self, path: str, **headers: str) -> Answer:
        return self._open(Request(self.site + path, headers=headers))

    def post(self, path: str, **fields: str) -> Answer:
        """Hand in a form with this session's token."""
        return self.post_with(self.token(), path, **fields)

    def peek(self, path: str) -> Answer:
        """Read the first line of a stream that would not end."""
        try:
            with self._opener.open(Request(self.site + path), timeout=TIMEOUT_S) as answer:
                return Answer(answer.status, answer.readline(), answer.headers)
        except HTTPError as error:
            with error:
                return Answer(error.code, error.read(), error.headers)

    def post_with(self, token: str, path: str, **fields: str) -> Answer:
        """Hand in a form with a token that was taken before."""
        return self.send(path, urlencode({"csrf": token, **fields}).encode())

    def send(self, path: str, data: bytes | None, method: str = "POST", **headers: str) -> Answer:
        kind = {"Content-Type": "application/x-www-form-urlencoded"} | headers
        return self._open(Request(self.site + path, data, kind, method=method))

    def token(self) -> str:
        """Return the csrf token of a page that everybody has."""
        for path in ("/security/password", "/second", "/login"):
            found = re.search(r'name="csrf" value="([^"]+)"', self.get(path).text)
            if found:
                return found[1]
        raise AssertionError("no page shows a form")

    def sign_in(self, name: str, password: str = PASSWORD) -> Answer:
        return self.post("/login", account=name, password=password)

    def _open(self, request: Request) -> Answer:
        request.add_header("User-Agent", BROWSER)
        try:
            with self._opener.open(request, timeout=TIMEOUT_S) as answer:
                return Answer(answer.status, answer.read(), answer.headers)
        except HTTPError as error:
            with error:
                return Answer(error.code, error.read(), error.headers)


def add_person(town: Town, name: str, *may: str) -> None:
    """Somebody who works in the office with just these rights."""
    rights: list[Right] = [parse(one) for one in may]
    opened = town.fleet()
    with opened.write() as connection:
        accounts.add(connection, name, AccountRole.CLERK, PASSWORD, "test", 1, rights)
    opened.close()


def visitor(site: str, town: Town, name: str, *may: str) -> Visitor:
    """Return somebody new with these rights, signed in."""
    add_person(town, name, *may)
    found = Visitor(site)
    assert found.sign_in(name).status == 303
    return found
