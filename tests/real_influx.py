"""Real telemetry servers for tests: influxd 1.6 and VictoriaMetrics, and one that misbehaves.

Each on free ports of loopback and in a folder of its own; leaving the `with` block stops it by its
own process id. influxd 1.6 has no `/api/v2/write` (1.8 has): a small door before it turns such a
request into the `/write` that it knows, as 1.8's own compatibility endpoint does.
"""

import contextlib
import json
import shutil
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from hw.sim.site import free_ports

START_TIMEOUT_S = 20.0
STOP_TIMEOUT_S = 5.0
DATABASE = "kazasu"

INFLUXD = """
reporting-disabled = true
bind-address = "127.0.0.1:{rpc}"
[meta]
  dir = "{folder}/meta"
[data]
  dir = "{folder}/data"
  wal-dir = "{folder}/wal"
[monitor]
  store-enabled = false
[http]
  bind-address = "127.0.0.1:{http}"
  log-enabled = false
"""


def ask(url: str, body: bytes | None = None, **query: str) -> bytes:
    """GET, or POST a body; return the answer's."""
    address = f"{url}?{urllib.parse.urlencode(query)}" if query else url
    with urllib.request.urlopen(urllib.request.Request(address, body), timeout=5) as answer:
        return bytes(answer.read())


@contextlib.contextmanager
def running(arguments: list[str], ready: Callable[[], object], folder: Path) -> Iterator[None]:
    """Run a server until left; it is ready when `ready` raises no OSError."""
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(
            arguments, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
        )
    try:
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            with contextlib.suppress(OSError):
                ready()
                break
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((folder / "log").read_text("utf-8"))
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(STOP_TIMEOUT_S)


@contextlib.contextmanager
def start_influxd(folder: Path) -> Iterator[str]:
    """Yield the address of an influxd 1.6 with an empty database, behind its door."""
    folder.mkdir()
    rpc, port = free_ports(2)
    (folder / "influxd.conf").write_text(INFLUXD.format(folder=folder, rpc=rpc, http=port), "utf-8")
    url = f"http://127.0.0.1:{port}"
    arguments = [shutil.which("influxd") or "/usr/bin/influxd", "-config"]
    arguments.append(str(folder / "influxd.conf"))
    with running(arguments, lambda: ask(f"{url}/ping"), folder), door(url) as outside:
        ask(f"{url}/query", b"", q=f"CREATE DATABASE {DATABASE}")
        yield outside


@contextlib.contextmanager
def start_victoria(folder: Path) -> Iterator[str]:
    """Yield the address of an empty VictoriaMetrics."""
    folder.mkdir()
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    arguments = [shutil.which("victoria-metrics") or "/usr/bin/victoria-metrics"]
    arguments += [f"-storageDataPath={folder / 'data'}", f"-httpListenAddr=127.0.0.1:{port}"]
    with running(arguments, lambda: ask(f"{url}/health"), folder):
        yield url


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", "0")))

    def say(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextlib.contextmanager
def serving(handler: type[_Handler]) -> Iterator[str]:
    """Serve from threads until left."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextlib.contextmanager
def door(url: str) -> Iterator[str]:
    """Serve the version 2 way of writing before a server that knows version 1 alone."""

    class Door(_Handler):
        def do_GET(self) -> None:
            self.say(200, ask(url + self.path))

        def do_POST(self) -> None:
            parts = urllib.parse.urlsplit(self.path)
            query = dict(urllib.parse.parse_qsl(parts.query))
            assert parts.path == "/api/v2/write"
            try:
                ask(f"{url}/write", self.body(), db=query["bucket"], precision=query["precision"])
            except urllib.error.HTTPError as refused:
                self.say(refused.code, refused.read(), Content_Type="application/json")
                return
            self.say(204)

    with serving(Door) as outside:
        yield outside


class Moody:
    """A server whose mood a test sets: what it answers, and what was written meanwhile."""

    def __init__(self) -> None:
        self.mood = "well"
        self.lines: list[bytes] = []
        self.asked = 0
        self.tokens: set[str | None] = set()
        self.wake = threading.Event()

    @contextlib.contextmanager
    def serving(self) -> Iterator[str]:
        """Serve until left."""
        moody = self

        class Handler(_Handler):
            def do_POST(self) -> None:
                body = self.body()
                moody.asked += 1
                moody.tokens.add(self.headers.get("Authorization"))
                moody.answer(self, body)

            def do_GET(self) -> None:
                moody.answer(self, b"")

        with serving(Handler) as url:
            try:
                yield url
            finally:
                self.wake.set()

    def answer(self, handler: _Handler, body: bytes) -> None:
        """Answer one request as the mood is."""
        match self.mood:
            case "well":
                self.lines += body.splitlines()
                handler.say(204)
            case "hangs":
                self.wake.wait(10)
                handler.close_connection = True
            case "garbage":
                handler.close_connection = True
                handler.wfile.write(b"\x00\xff{<html>" * 40)
            case "page":
                handler.say(200, b"<html>Sign in</html>", Content_Type="text/html")
            case "not-json":
                handler.say(400, b"\xff\xfe", Content_Type="text/plain")
            case "leave-me":
                handler.say(429, b"{}", Retry_After="1")
            case status:
                body = json.dumps({"code": "x", "message": "y"}).encode()
                handler.say(int(status), body, Content_Type="application/json")


def closed_port() -> str:
    """Return an address where nobody listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{sock.getsockname()[1]}"
