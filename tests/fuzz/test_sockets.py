"""Raw bytes at the HTTP doors, and callers who only stand there."""

import contextlib
import select
import shutil
import socket
import ssl
import time
from collections.abc import Iterator

import pytest

from fleet import devices
from fleet.web.app import CONNECTIONS_MAX
from tests.fleet.virtual import bus, make_fleet
from tests.fuzz.doors import SLOW_S, Site, open_pages, open_reader_page, served, wait_for
from tests.real import HOST
from tests.web.town import build_town, town_in
from wire import door

REQUEST_S = 1.5
"""Instead of 20 s, so that a test can wait for it."""
NAMES = ("console", "office", "reader-page", "devices")


@pytest.fixture(scope="module")
def doors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Site]]:
    folder = tmp_path_factory.mktemp("sockets")
    build_town(folder / "town")
    fleet = make_fleet(folder / "fleet", [bus("bus-1")])
    device = Site("devices", f"https://localhost:{fleet.config.devices_port}")
    home = fleet.town.folder / "readers" / "bus-1"
    device.http.verify = str(home / "authority.pem")
    device.http.cert = (str(home / "reader.pem"), str(home / "reader.key"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(door, "REQUEST_S", REQUEST_S)
        with (
            open_pages(town_in(folder / "town")) as pages,
            open_reader_page() as page,
            served(devices.serve(fleet.config)),
        ):
            wait_for(device)
            yield {site.name: site for site in (*pages, page, device)}
            device.http.close()
    fleet.close()
    shutil.rmtree(folder)


def dial(site: Site) -> socket.socket:
    """Connect, with the reader's certificate where one is needed."""
    sock = socket.create_connection(("localhost" if site.name == "devices" else HOST, site.port))
    sock.settimeout(SLOW_S)
    if site.name != "devices":
        return sock
    context = ssl.create_default_context(cafile=str(site.http.verify))
    assert isinstance(site.http.cert, tuple)
    context.load_cert_chain(*site.http.cert)
    return context.wrap_socket(sock, server_hostname="localhost")


def answer(site: Site, request: bytes) -> bytes:
    """Send raw bytes; return what comes back until the door closes or has no more to say."""
    said = b""
    with dial(site) as sock:
        with contextlib.suppress(OSError):
            sock.sendall(request)
        with contextlib.suppress(OSError):
            while data := sock.recv(65_536):
                said += data
    return said


def get(path: bytes, *headers: bytes) -> bytes:
    lines = [b"GET " + path + b" HTTP/1.1", b"Host: %HOST%", *headers, b"Connection: close"]
    return b"\r\n".join(lines) + b"\r\n\r\n"


def post(path: bytes, body: bytes, kind: bytes, *headers: bytes) -> bytes:
    head = [
        b"POST " + path + b" HTTP/1.1",
        b"Host: %HOST%",
        b"Connection: close",
        b"Content-Type: " + kind,
        b"Content-Length: %d" % len(body),
        *headers,
    ]
    return b"\r\n".join(head) + b"\r\n\r\n" + body


FORM = b"application/x-www-form-urlencoded"
HOSTILE = {
    "garbage": b"\x00\xff\xfe garbage \r\n\r\n",
    "a TLS hello": bytes.fromhex("16030100c8010000c40303") + bytes(200),
    "no end of a line": b"A" * 100_000,
    "a long header": get(b"/login", b"X: " + b"a" * 100_000),
    "many headers": get(b"/login", *(b"X-%d: a" % n for n in range(20_000))),
    "HTTP/1.0": b"GET /healthz HTTP/1.0\r\n\r\n",
    "HTTP/9.9": b"GET / HTTP/9.9\r\n\r\n",
    "chunks of nonsense": b"POST /login HTTP/1.1\r\nHost: %HOST%\r\n"
    b"Transfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n",
    "two lengths": b"POST /login HTTP/1.1\r\nHost: %HOST%\r\nContent-Length: 3\r\n"
    b"Content-Length: 4\r\n\r\nabcd",
    "a negative length": b"POST /login HTTP/1.1\r\nHost: %HOST%\r\nContent-Length: -1\r\n\r\n",
    "traversal": get(b"/static/../../../../etc/passwd"),
    "encoded traversal": get(b"/static/..%2f..%2f..%2fetc%2fpasswd"),
    "NUL in a path": get(b"/readers/%00"),
    "NUL in a file": get(b"/static/a%00b"),
    "overlong": get(b"/static/%c0%ae%c0%ae/%c0%afetc"),
    "a surrogate": get(b"/readers/%ED%A0%80"),
    "bytes in a path": get(b"/readers/\xff\xfe"),
    "a long file's name": get(b"/static/" + b"a" * 3_000),
    "a page beyond all": get(b"/readers?page=" + b"9" * 5_000),
    "bytes in a cookie": get(b"/login", b"Cookie: kazasu_console=\xff; kazasu_office=\xed\xa0\x80"),
    "another host": get(b"/login").replace(b"%HOST%", b"[::1"),
    "an absolute address": get(b"http://[::1"),
    "a form of surrogates": post(b"/login", b"csrf=\\ud800", FORM + b"; charset=unicode_escape"),
    "a form in no charset": post(b"/login", b"csrf=1", FORM + b"; charset=rot13"),
    "no boundary": post(b"/login", b"--a", b"multipart/form-data"),
    "no gzip": post(b"/login", b"abc", FORM, b"Content-Encoding: gzip"),
    "brackets": post(b"/vehicle", b"[" * 4_000, b"application/json"),
    "nested": post(b"/vehicle", b'{"duty":' * 400, b"application/json"),
    "10 MB": post(b"/login", b"a=" + b"b" * 10_000_000, FORM),
    "10 MB of JSON": post(b"/vehicle", b"[" * 10_000_000, b"application/json"),
}


@pytest.mark.parametrize("name", NAMES)
def test_no_bytes_make_a_door_fail(doors: dict[str, Site], name: str) -> None:
    site = doors[name]
    host = f"{HOST}:{site.port}".encode()
    for what, request in HOSTILE.items():
        began = time.monotonic()
        said = answer(site, request.replace(b"%HOST%", host))
        assert not said.startswith((b"HTTP/1.1 5", b"HTTP/1.0 5")), what
        assert b"root:" not in said, what
        assert b"Traceback" not in said, what
        assert time.monotonic() - began < REQUEST_S + SLOW_S, what
        site.lives()


@pytest.mark.parametrize("name", NAMES)
def test_who_only_stands_there_is_shown_out(doors: dict[str, Site], name: str) -> None:
    """Silence, half a request, and one letter now and then (slow loris)."""
    site = doors[name]
    with dial(site) as silent, dial(site) as half, dial(site) as slow:
        half.sendall(b"GET /healthz HTTP/1.1\r\nHost: ")
        slow.sendall(b"GET /healthz HTTP/1.1\r\nX: ")
        deadline = time.monotonic() + REQUEST_S + SLOW_S
        open_ones = {silent, half, slow}
        while open_ones:
            assert time.monotonic() < deadline, "still open"
            with contextlib.suppress(OSError):
                slow.sendall(b"a")
            readable, _, _ = select.select(list(open_ones), [], [], 0.2)
            for sock in readable:
                with contextlib.suppress(OSError):
                    if sock.recv(65_536):
                        continue
                open_ones.discard(sock)
    site.lives()


def test_a_thousand_connections_leave_a_site_alive(doors: dict[str, Site]) -> None:
    site = doors["console"]
    with contextlib.ExitStack() as stack:
        for _ in range(1_000):
            stack.enter_context(dial(site))
        # whoever is in goes on, the newest are shown out, and there is room again soon
        deadline = time.monotonic() + REQUEST_S + SLOW_S
        while True:
            with contextlib.suppress(OSError):
                site.lives()
                break
            assert time.monotonic() < deadline, "no room again"
    assert CONNECTIONS_MAX < 1_000
