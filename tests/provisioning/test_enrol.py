"""From a card's claim to a reader's own certificate, with the real door and the real agent."""

import base64
import contextlib
import http.client
import json
import os
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import NameOID

from edge.config import read_config
from edge.identity import read_identity
from hw.sim.site import free_ports
from provisioning import claims
from provisioning.authority import fingerprint
from provisioning.claims import DAY_MS, DAYS, ClaimRefused, alone, issue, spend
from provisioning.door import CALLERS_MAX, LOG, WRONG_MAX, Door, Enrolment, Pauses
from provisioning.enrolled import RequestRefused, read_request
from provisioning.keys import KeyRing
from provisioning.local import make_local
from provisioning.town import Town
from tests.provisioning.card_kit import READER, image, make_town, write_card
from wire.clock import SystemClock
from wire.enrol import BODY_BYTES_MAX, SEALING_KEY, SIMPLE_ENROLL
from wire.registry import RegisteredReader, Registry
from wire.seal import open_keys

NOW_MS = 1_796_000_000_000


class Pi:
    """One machine with a card in it, as first-boot.sh leaves it."""

    def __init__(self, home: Path, boot: Path) -> None:
        self.home, self.card = home, boot / "kazasu"
        home.mkdir()
        for name in ("edge.toml", "authority.pem", "fleet.pub"):
            (home / name).write_bytes((self.card / name).read_bytes())

    def enrol(self) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "edge.cli", "enrol", str(self.home / "edge.toml")]
        return subprocess.run(
            [*command, "--card", str(self.card)], capture_output=True, text=True, check=False
        )


@pytest.fixture
def made(tmp_path: Path) -> tuple[Path, Town]:
    return make_town(tmp_path, free_ports(6))


@contextlib.contextmanager
def open_door(folder: Path, town: Town) -> Iterator[Door]:
    enrolment = Enrolment(folder, town, SystemClock())
    with Door(enrolment, folder, "127.0.0.1", town.ports.door) as door:
        thread = threading.Thread(target=door.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield door
        finally:
            door.shutdown()
            thread.join()


def told(folder: Path, reader: str = READER) -> RegisteredReader:
    data = (folder / "fleet" / "registry.json").read_bytes()
    registry = msgspec.json.decode(data, type=Registry)
    return next(one for one in registry.readers if one.reader == reader)


def request(
    name: str = READER,
    key: ec.EllipticCurvePrivateKey | None = None,
    sealing: ec.EllipticCurvePrivateKey | None = None,
) -> bytes:
    key = key or ec.generate_private_key(ec.SECP256R1())
    sealing = sealing or ec.generate_private_key(ec.SECP256R1())
    public = sealing.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    builder = builder.add_extension(x509.UnrecognizedExtension(SEALING_KEY, public), False)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def ask(folder: Path, town: Town, claim: str, body: bytes, reader: str = READER) -> int:
    """Ask as any program could; return the status."""
    tls = ssl.create_default_context(cafile=folder / "authority" / "root.pem")
    line = http.client.HTTPSConnection("localhost", town.ports.door, timeout=20, context=tls)
    word = base64.b64encode(f"{reader}:{claim}".encode()).decode()
    try:
        line.request("POST", SIMPLE_ENROLL, body, {"Authorization": f"Basic {word}"})
        return line.getresponse().status
    finally:
        line.close()


def test_a_card_becomes_a_reader_that_the_fleet_is_told_of(
    tmp_path: Path, made: tuple[Path, Town]
) -> None:
    folder, town = made
    boot = image(tmp_path / "boot", "cloud-init")
    claim = write_card(folder, town, boot)
    pi = Pi(tmp_path / "data", boot)
    before = told(folder)
    with open_door(folder, town):
        done = pi.enrol()
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "kazasu-shi/bus-1: enrolled\n"
    assert not (pi.card / "claim").exists()
    config = read_config(pi.home / "edge.toml")
    assert str(read_identity(config).name) == READER
    certificate = x509.load_pem_x509_certificate((pi.home / "reader.pem").read_bytes())
    row = told(folder)
    assert row != before
    assert row.fingerprint == fingerprint(certificate)
    sealing = load_pem_private_key((pi.home / "sealing.key").read_bytes(), None)
    assert isinstance(sealing, ec.EllipticCurvePrivateKey)
    opened = open_keys(row.keys_sealed, READER, sealing)
    assert opened == KeyRing.read(folder / "keys" / "programme-keys.json").for_reader(
        ["senior-pass"]
    )
    for name in ("reader.key", "sealing.key"):
        assert (pi.home / name).stat().st_mode & 0o777 == 0o600
        assert not (folder / "readers" / "bus-1" / name).exists()  # nobody else has one
    (line,) = (folder / LOG).read_text().splitlines()
    assert json.loads(line)["certificate"] == row.fingerprint
    assert claim not in line
    # The same again needs nobody, and `local` keeps what the reader has.
    again = pi.enrol()
    assert (again.returncode, again.stdout) == (0, "kazasu-shi/bus-1: has been enrolled before\n")
    make_local(folder, town, SystemClock())
    assert told(folder) == row
    assert not (folder / "readers" / "bus-1" / "reader.key").exists()


def test_after_a_new_epoch_an_enrolled_reader_gets_the_new_keys(
    tmp_path: Path, made: tuple[Path, Town]
) -> None:
    folder, town = made
    boot = image(tmp_path / "boot", "older")
    write_card(folder, town, boot)
    pi = Pi(tmp_path / "data", boot)
    with open_door(folder, town):
        assert pi.enrol().returncode == 0
    KeyRing.read(folder / "keys" / "programme-keys.json").begin_epoch("senior-pass", NOW_MS)
    make_local(folder, town, SystemClock())
    sealing = load_pem_private_key((pi.home / "sealing.key").read_bytes(), None)
    assert isinstance(sealing, ec.EllipticCurvePrivateKey)
    keys = open_keys(told(folder).keys_sealed, READER, sealing).keys
    assert [key.epoch for key in keys] == [2, 1]


def test_an_answer_that_was_lost_strands_no_reader(tmp_path: Path, made: tuple[Path, Town]) -> None:
    """The power goes when the door has answered and the reader has not kept the answer."""
    folder, town = made
    boot = image(tmp_path / "boot", "older")
    claim = write_card(folder, town, boot)
    pi = Pi(tmp_path / "data", boot)
    with open_door(folder, town):
        assert pi.enrol().returncode == 0
        first = (pi.home / "reader.pem").read_bytes()
        (pi.card / "claim").write_text(claim)  # the certificate was kept, the claim not removed
        assert pi.enrol().returncode == 0
        (pi.home / "reader.pem").unlink()
        (pi.card / "claim").write_text(claim)
        assert pi.enrol().returncode == 0
        assert (pi.home / "reader.pem").read_bytes() == first
        assert not (pi.card / "claim").exists()
        assert ask(folder, town, claim, base64.encodebytes(request())) == 401


def test_a_card_that_was_made_again_is_the_only_one(
    tmp_path: Path, made: tuple[Path, Town]
) -> None:
    folder, town = made
    boot = image(tmp_path / "boot", "older")
    former = write_card(folder, town, boot)
    pi = Pi(tmp_path / "data", boot)
    present = write_card(folder, town, boot)
    with open_door(folder, town):
        (pi.card / "claim").write_text(former)
        refused = pi.enrol()
        assert refused.returncode == 1
        assert "401" in refused.stderr
        assert (pi.card / "claim").exists()  # asked again, in vain: nothing was given up
        (pi.card / "claim").write_text(present)
        assert pi.enrol().returncode == 0


def test_only_the_town_s_own_door_is_asked(tmp_path: Path, made: tuple[Path, Town]) -> None:
    folder, town = made
    boot = image(tmp_path / "boot", "older")
    write_card(folder, town, boot)
    pi = Pi(tmp_path / "data", boot)
    (tmp_path / "elsewhere").mkdir()
    other, _ = make_town(tmp_path / "elsewhere")
    (pi.home / "authority.pem").write_bytes((other / "authority" / "root.pem").read_bytes())
    with open_door(folder, town):
        refused = pi.enrol()
    assert refused.returncode == 1
    assert "certificate verify failed" in refused.stderr
    assert not (folder / LOG).exists()  # it heard no claim
    assert (pi.card / "claim").exists()


@pytest.mark.parametrize(
    ("name", "words"),
    [("claim", None), ("door", "http://localhost:1"), ("door", "https://[::"), ("door", "あ")],
)
def test_a_card_that_cannot_be_used_says_so(
    name: str, words: str | None, tmp_path: Path, made: tuple[Path, Town]
) -> None:
    folder, town = made
    boot = image(tmp_path / "boot", "older")
    write_card(folder, town, boot)
    pi = Pi(tmp_path / "data", boot)
    (pi.card / name).unlink() if words is None else (pi.card / name).write_text(words, "utf-8")
    refused = pi.enrol()
    assert refused.returncode == 2
    assert "make this card anew" in refused.stderr
    assert "Traceback" not in refused.stderr


# --- who asks wrongly -----------------------------------------------------------------------------


def test_who_has_no_right_gets_nothing(tmp_path: Path, made: tuple[Path, Town]) -> None:
    folder, town = made
    before = (folder / "fleet" / "registry.json").read_bytes()
    with alone(folder):
        claim = issue(folder, READER, SystemClock().now_ms())
    good = base64.encodebytes(request())
    with open_door(folder, town) as door:
        for word, body, reader, status in (
            ("", good, READER, 401),
            ("0" * 64, good, READER, 401),
            (claim[:-1], good, READER, 401),
            (claim, base64.encodebytes(request("kazasu-shi/bus-2")), "kazasu-shi/bus-2", 401),
            (claim, base64.encodebytes(request("kazasu-shi/bus-2")), READER, 400),
            (claim, good, "other-shi/bus-1", 401),
            (claim, b"no base64 =", READER, 400),
            (claim, b"AAAA", READER, 400),
            (claim, b"A" * (BODY_BYTES_MAX + 1), READER, 413),
        ):
            assert ask(folder, town, word, body, reader) == status, (word, body[:20], reader)
        assert (folder / "fleet" / "registry.json").read_bytes() == before
        while not door.pauses.must_wait("127.0.0.1"):
            door.pauses.wrong("127.0.0.1")
        assert ask(folder, town, claim, good) == 429


def test_the_door_stands_callers_that_say_nothing(made: tuple[Path, Town]) -> None:
    folder, town = made
    with alone(folder):
        claim = issue(folder, READER, SystemClock().now_ms())
    with open_door(folder, town), contextlib.ExitStack() as silent:
        address = ("127.0.0.1", town.ports.door)
        lines = [
            silent.enter_context(socket.create_connection(address)) for _ in range(CALLERS_MAX)
        ]
        lines[0].sendall(b"\x16\x03\x01 no handshake")
        for line in lines[:5]:
            line.close()
        deadline = 100
        while deadline:
            try:
                assert ask(folder, town, claim, base64.encodebytes(request())) == 200
                break
            except OSError:  # all places are taken until the door has noticed
                deadline -= 1
        assert deadline


def test_two_at_once_with_one_claim_are_one_reader(made: tuple[Path, Town]) -> None:
    folder, town = made
    with alone(folder):
        claim = issue(folder, READER, SystemClock().now_ms())
    bodies = [base64.encodebytes(request()) for _ in range(6)]
    said: list[int] = []
    with open_door(folder, town):
        threads = [
            threading.Thread(target=lambda b=body: said.append(ask(folder, town, claim, b)))
            for body in bodies
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(said) == [200, 401, 401, 401, 401, 401]


class At:
    def __init__(self) -> None:
        self.s = 0.0

    def __call__(self) -> float:
        return self.s


def test_an_address_that_asks_wrongly_waits_for_the_next_minute() -> None:
    at = At()
    pauses = Pauses(at)
    for _ in range(WRONG_MAX):
        assert not pauses.must_wait("a")
        pauses.wrong("a")
    assert pauses.must_wait("a")
    assert not pauses.must_wait("b")
    at.s = 60.0
    assert not pauses.must_wait("a")


def test_a_claim_is_good_for_its_days_and_one_pair_of_keys(tmp_path: Path) -> None:
    claim = issue(tmp_path, READER, NOW_MS)
    with pytest.raises(ClaimRefused):
        spend(tmp_path, READER, claim, b"mine", NOW_MS + DAYS * DAY_MS)
    spend(tmp_path, READER, claim, b"mine", NOW_MS + DAYS * DAY_MS - 1)
    spend(tmp_path, READER, claim, b"mine", NOW_MS)
    with pytest.raises(ClaimRefused):
        spend(tmp_path, READER, claim, b"yours", NOW_MS)
    assert (tmp_path / claims.FILE).stat().st_mode & 0o777 == 0o600
    assert os.listdir(tmp_path) == [claims.FILE]


def test_a_request_that_is_not_one_is_refused() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    with pytest.raises(RequestRefused, match="one key for two things"):
        read_request(request(key=key, sealing=key), READER)
    with pytest.raises(RequestRefused, match="no P-256 key"):
        read_request(request(key=ec.generate_private_key(ec.SECP384R1())), READER)
    forged = bytearray(request())
    forged[-1] ^= 1
    with pytest.raises(RequestRefused):
        read_request(bytes(forged), READER)
    for cut in range(0, len(forged), 7):
        with pytest.raises(RequestRefused):
            read_request(bytes(forged[:cut]), READER)


def test_an_authority_of_another_folder_is_not_made_by_the_way(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    _, town = make_town(tmp_path / "a")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="run `kazasu-provision local` first"):
        Enrolment(tmp_path / "empty", town, SystemClock())
    assert not list((tmp_path / "empty").iterdir())
