"""The door for readers without a certificate: EST's simpleenroll (RFC 7030), against a claim.

    POST /.well-known/est/simpleenroll   Authorization: Basic reader:claim, body: base64 of PKCS#10

Rules: TLS with the town's own root, which the card carries · a wrong claim is answered by 401, and
after some from one address by 429 · body, time and number of callers are bounded · what was given
is on the disk, the claim spent, and the registry written, before the answer leaves; the same keys
with the same claim get the same answer · each verdict is a line of `DIR/enrolments.log`.
"""

import base64
import binascii
import json
import os
import ssl
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socket import socket
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7

from provisioning import claims
from provisioning.authority import Authority, fingerprint
from provisioning.enrolled import RequestRefused, enrol, read_request, registered
from provisioning.keys import KeyRing
from provisioning.registry import Before, read_registry, replace_reader, write_registry
from provisioning.town import Town
from provisioning.vault import ProvisioningRefused, private_folder
from wire.clock import Clock
from wire.enrol import ANSWER_TYPE, BODY_BYTES_MAX, SIMPLE_ENROLL

TIMEOUT_S: Final = 10.0
"""For a handshake, and for each wait within a request."""
CALLERS_MAX: Final = 32
"""At once; the next one is hung up on and comes again after its pause."""
WRONG_MAX: Final = 10
"""In a minute from one address. 256 bits are not guessed: it bounds log and load."""
ADDRESSES_MAX: Final = 1024
LOG: Final = "enrolments.log"
AUDIT_NAME_MAX: Final = 64


class Pauses:
    """Counts wrong claims by address, minute by minute."""

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        self._now_s, self._lock = now_s, threading.Lock()
        self._minute, self._wrong = 0, dict[str, int]()

    def must_wait(self, address: str) -> bool:
        """Say whether this address has asked wrongly too often, or too many addresses have."""
        with self._lock:
            minute = int(self._now_s() // 60)
            if minute != self._minute:
                self._minute, self._wrong = minute, {}
            full = len(self._wrong) >= ADDRESSES_MAX
            return self._wrong.get(address, 0) >= WRONG_MAX or full

    def wrong(self, address: str) -> None:
        """Count one."""
        with self._lock:
            self._wrong[address] = self._wrong.get(address, 0) + 1


class Enrolment:
    """What the door gives, and to whom."""

    def __init__(self, folder: Path, town: Town, clock: Clock) -> None:
        """Raises ProvisioningRefused when the folder was not made for this town."""
        self._folder, self._town, self._clock = folder.resolve(), town, clock
        if read_registry(self._folder, town.tenant) is None:
            raise ProvisioningRefused(
                f"{folder} has no registry: run `kazasu-provision local` first"
            )
        self._root = Authority.at(folder / "authority", "root", "", self._now())

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock.now_ms() // 1000, UTC)

    def give(self, reader: str, claim: str, request: bytes) -> x509.Certificate:
        """Return a reader's certificate. Raises ClaimRefused, RequestRefused; else it is kept."""
        place = next((p for p in self._town.place if str(self._town.reader_at(p)) == reader), None)
        if place is None:
            raise claims.ClaimRefused
        asked = read_request(request, reader)
        with claims.alone(self._folder):
            claims.spend(self._folder, reader, claim, asked.keys, self._clock.now_ms())
            name = self._town.reader_at(place)
            home = private_folder(self._folder / "readers" / place.name)
            enrolled = enrol(home, name, asked, self._root, self._now())
            told = read_registry(self._folder, self._town.tenant)
            if told is None:
                raise ProvisioningRefused("the registry is gone: run `kazasu-provision local`")
            ring = KeyRing.read(self._folder / "keys" / "programme-keys.json")
            row = registered(enrolled, name, place.programmes, ring, Before.of(told))
            write_registry(self._folder, replace_reader(told, row))
        return x509.load_pem_x509_certificate(enrolled.certificate.encode())

    def note(self, **words: str) -> None:
        """Write one line for the record, on the disk."""
        line = json.dumps({"at_ms": self._clock.now_ms(), **words}, ensure_ascii=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        with os.fdopen(os.open(self._folder / LOG, flags, 0o600), "w") as log:
            log.write(line + "\n")
            log.flush()
            os.fsync(log.fileno())


class _Caller(BaseHTTPRequestHandler):
    """One connection."""

    server: "Door"
    protocol_version = "HTTP/1.1"
    timeout = TIMEOUT_S
    server_version, sys_version = "kazasu", ""

    def do_POST(self) -> None:
        """Answer one request; the connection ends with it, so that none holds a place."""
        self.close_connection = True
        body = self._body()
        if self.path != SIMPLE_ENROLL:
            self._answer(404)
        elif body is None:
            self._answer(413)
        elif self.server.pauses.must_wait(self.client_address[0]):
            self._answer(429)
        else:
            self._give(body)

    def _give(self, body: bytes) -> None:
        address = self.client_address[0]
        reader, claim = _basic(self.headers.get("Authorization", ""))
        note = {"address": address, "reader": ascii(reader[:AUDIT_NAME_MAX])[1:-1]}
        try:
            given = self.server.enrolment.give(reader, claim, base64.b64decode(body))
        except (claims.ClaimRefused, RequestRefused, binascii.Error) as error:
            self.server.pauses.wrong(address)
            self.server.enrolment.note(**note, verdict="refused")
            self._answer(401 if isinstance(error, claims.ClaimRefused) else 400)
            return
        self.server.enrolment.note(**note, verdict="enrolled", certificate=fingerprint(given))
        chain = pkcs7.serialize_certificates([given], Encoding.DER)
        self._answer(200, base64.encodebytes(chain))

    def _body(self) -> bytes | None:
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit()) or int(length) > BODY_BYTES_MAX:
            return None
        return self.rfile.read(int(length))

    def _answer(self, status: int, body: bytes = b"") -> None:
        self.send_response(status)
        if status == 200:
            self.send_header("Content-Type", ANSWER_TYPE)
            self.send_header("Content-Transfer-Encoding", "base64")
        if status == 401:
            self.send_header("WWW-Authenticate", 'Basic realm="kazasu"')
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # its own name there
        """Say nothing: the log is `enrolments.log`."""


def _basic(header: str) -> tuple[str, str]:
    """Return name and claim of an Authorization header (RFC 7617); empty ones when it is none."""
    kind, _, words = header.partition(" ")
    try:
        name, _, claim = base64.b64decode(words, validate=True).decode().partition(":")
    except (ValueError, UnicodeDecodeError):
        return "", ""
    return (name, claim) if kind.lower() == "basic" else ("", "")


class Door(ThreadingHTTPServer):
    """The listener. TLS is shaken hands on by each caller's own thread."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, enrolment: Enrolment, folder: Path, host: str, port: int) -> None:
        super().__init__((host, port), _Caller)
        self.enrolment, self.pauses = enrolment, Pauses()
        self._places = threading.BoundedSemaphore(CALLERS_MAX)
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.minimum_version = ssl.TLSVersion.TLSv1_2
        self._tls.load_cert_chain(
            folder / "server" / "server.pem", folder / "server" / "server.key"
        )

    def process_request(self, request: Any, client_address: Any) -> None:
        """Give the caller a thread, while there are places."""
        if self._places.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve one caller in its thread."""
        try:
            self._shake_hands(request, client_address)
        finally:
            self._places.release()

    def _shake_hands(self, request: socket, client_address: Any) -> None:
        request.settimeout(TIMEOUT_S)
        try:
            secured = self._tls.wrap_socket(request, server_side=True)
        except (OSError, ValueError):  # no TLS, or too slow
            self.shutdown_request(request)
        else:
            super().process_request_thread(secured, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002
        """Say what broke here, in one line; a caller who hung up is no news."""
        error = sys.exc_info()[1]
        if not isinstance(error, ConnectionError | TimeoutError | ssl.SSLError):
            sys.stderr.write(f"door: {error!r}\n")
