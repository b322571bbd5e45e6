"""The simulated My Number Card in the hands of Debian's OpenSC, by way of Debian's pcscd.

Nothing here is told what it meets: OpenSC tries its drivers one after the other, with its stock
configuration, and openssl judges what it brings.
"""

import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest

from hw.sim.cards import Card
from hw.sim.mynumber import MyNumberCard
from hw.sim.variants import of_the_first_generation, old_resident_card
from hw.sim.vicc import VirtualReader
from tests.real_pcsc import Pcscd
from tests.sim.chip_kit import DATA

READER: Final = "Desk"
SEEN_S: Final = 20.0
"""It takes milliseconds; two busy cores may be slow."""
RUN_S: Final = 60.0
PIN: Final = DATA.secrets.authentication.decode()
PASSWORD: Final = DATA.secrets.signature.decode()
AUTHENTICATION, SIGNATURE = "01", "02"
ISSUERS: Final = {AUTHENTICATION: "03", SIGNATURE: "04"}

Run = Callable[..., "subprocess.CompletedProcess[str]"]
Place = Callable[[Card], None]


@pytest.fixture
def pcscd(tmp_path: Path) -> Iterator[Pcscd]:
    with Pcscd(tmp_path, READER) as started:
        started.start()
        yield started


@pytest.fixture
def place(pcscd: Pcscd) -> Iterator[Place]:
    """Put a card on the reader instead of another, and return when OpenSC sees it."""
    with VirtualReader(pcscd.port, interrupt=pcscd.look) as reader:

        def see(card: bool) -> None:
            deadline = time.monotonic() + SEEN_S
            while ("Yes" in done("opensc-tool", "--list-readers")) != card:
                assert time.monotonic() < deadline, pcscd.log
                pcscd.look()

        def placed(card: Card) -> None:
            reader.remove()
            see(False)
            reader.place(card)
            see(True)

        yield placed


def run(*command: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(command, capture_output=True, text=True, timeout=RUN_S, check=False)


def done(*command: str) -> str:
    """Run a program that must succeed; what it printed."""
    ran = run(*command)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def tries() -> list[int]:
    """What pkcs15-tool says of both PINs."""
    lines = done("pkcs15-tool", "--list-pins").splitlines()
    return [int(line.split(":")[1]) for line in lines if "Tries left" in line]


def verify_pin(value: str, which: str = AUTHENTICATION) -> bool:
    return run("pkcs15-tool", "--verify-pin", "--auth-id", which, "--pin", value).returncode == 0


def read_certificate(number: str, file: Path, *more: str) -> Path:
    file.write_text(done("pkcs15-tool", "--read-certificate", number, *more), "utf-8")
    return file


def sign(key: str, pin: str, folder: Path) -> bool:
    """Sign a message by pkcs11-tool; does `openssl` find it signed by the key's certificate?"""
    message, signature = folder / "message", folder / f"signature-{key}"
    message.write_bytes(b"held over a reader")
    slot = str(int(key) - 1)  # OpenSC shows each PIN as a slot of its own
    files = ["--input-file", str(message), "--output-file", str(signature)]
    done(
        *["pkcs11-tool", "--slot-index", slot, "--login", "--pin", pin],
        *["--sign", "--id", key, "--mechanism", "SHA256-RSA-PKCS", *files],
    )
    with_pin = ["--verify-pin", "--auth-id", SIGNATURE, "--pin", pin] if key == SIGNATURE else []
    certificate = read_certificate(key, folder / f"{key}.pem", *with_pin)
    public = folder / f"{key}.pub"
    public.write_text(done("openssl", "x509", "-in", str(certificate), "-noout", "-pubkey"))
    judged = run(
        *["openssl", "dgst", "-sha256", "-verify", str(public), "-signature", str(signature)],
        str(message),
    )
    return judged.stdout.strip() == "Verified OK"


def test_it_is_recognised_and_lists_its_certificates_and_pins(place: Place) -> None:
    place(MyNumberCard(DATA, apdu_ms=0))
    assert done("opensc-tool", "--name").strip() == "jpki"
    listed = done("pkcs15-tool", "--list-certificates")
    names = ("User Authentication Certificate", "Digital Signature Certificate")
    for name in (*names, *(f"{name} CA" for name in names)):
        assert f"[{name}]" in listed
    assert "02 04 1234ABCD" in listed  # the serial number, without a PIN
    assert tries() == [3, 5]


def test_a_wrong_pin_costs_a_try_and_the_right_one_gives_it_back(place: Place) -> None:
    place(MyNumberCard(DATA, apdu_ms=0))
    assert not verify_pin("9999")
    assert tries() == [2, 5]
    assert verify_pin(PIN)
    assert tries() == [3, 5]
    assert not verify_pin("WRONG1", SIGNATURE)
    assert tries() == [3, 4]


def test_a_blocked_pin_stays_blocked_on_another_day_and_the_card_is_still_recognised(
    place: Place,
) -> None:
    card = MyNumberCard(DATA, apdu_ms=0)
    place(card)
    assert [verify_pin("9999") for _ in range(3)] == [False] * 3
    assert tries() == [0, 5]
    place(card)
    assert not verify_pin(PIN)
    assert tries() == [0, 5]
    assert done("opensc-tool", "--name").strip() == "jpki"
    assert verify_pin(PASSWORD, SIGNATURE)


def test_the_signature_certificate_is_read_after_its_password_alone(
    place: Place, tmp_path: Path
) -> None:
    place(MyNumberCard(DATA, apdu_ms=0))
    assert run("pkcs15-tool", "--read-certificate", SIGNATURE).returncode != 0
    with_pin = ("--verify-pin", "--auth-id", AUTHENTICATION, "--pin", PIN)
    assert run("pkcs15-tool", "--read-certificate", SIGNATURE, *with_pin).returncode != 0
    with_password = ("--verify-pin", "--auth-id", SIGNATURE, "--pin", PASSWORD)
    read = read_certificate(SIGNATURE, tmp_path / "sign.pem", *with_password)
    said = done("openssl", "x509", "-in", str(read), "-noout", "-text", "-nameopt", "utf8")
    assert DATA.holder.name in said
    assert "JPKI for digital signature" in said


@pytest.mark.parametrize(("key", "pin"), [(AUTHENTICATION, PIN), (SIGNATURE, PASSWORD)])
def test_openssl_verifies_what_it_signs(place: Place, tmp_path: Path, key: str, pin: str) -> None:
    place(MyNumberCard(DATA, apdu_ms=0))
    assert sign(key, pin, tmp_path)


def test_openssl_builds_the_chain_by_the_right_one_of_two_authorities_of_one_name(
    place: Place, tmp_path: Path
) -> None:
    own: list[Path] = []
    authorities: list[Path] = []
    for card in (MyNumberCard(DATA, apdu_ms=0), of_the_first_generation(DATA)):
        place(card)
        name = str(len(own))
        own.append(read_certificate(AUTHENTICATION, tmp_path / f"own-{name}"))
        authorities.append(read_certificate(ISSUERS[AUTHENTICATION], tmp_path / f"ca-{name}"))
    at = ["-attime", str(round(DATA.not_before.timestamp()) + 1)]
    for number, certificate in enumerate(own):
        for judge, authority in enumerate(authorities):
            judged = run("openssl", "verify", *at, "-CAfile", str(authority), str(certificate))
            assert (judged.returncode == 0) == (number == judge)
    both = tmp_path / "both"
    both.write_text("".join(authority.read_text() for authority in authorities))
    for certificate in own:
        assert done("openssl", "verify", *at, "-CAfile", str(both), str(certificate))


def test_the_signature_chain_verifies_too(place: Place, tmp_path: Path) -> None:
    place(MyNumberCard(DATA, apdu_ms=0))
    with_password = ("--verify-pin", "--auth-id", SIGNATURE, "--pin", PASSWORD)
    own = read_certificate(SIGNATURE, tmp_path / "own", *with_password)
    authority = read_certificate(ISSUERS[SIGNATURE], tmp_path / "ca")
    at = ["-attime", str(round(DATA.not_before.timestamp()) + 1)]
    assert done("openssl", "verify", *at, "-CAfile", str(authority), str(own))


def test_a_card_of_another_kind_is_not_taken_for_it(place: Place) -> None:
    """An old resident-register card has the same application, but no authentication PIN."""
    place(old_resident_card(DATA))
    assert run("pkcs15-tool", "--list-pins").returncode != 0


@pytest.mark.parametrize(
    ("atr", "kind"),
    [
        ("3B888001000005E0B381A1007F", "JPKI card"),
        ("3B888001000014E0B38191005E", "JUKICARD"),
        ("3B888001000000009181C100D8", "Driving License card of Japan"),
    ],
)
def test_pcsc_tools_knows_the_cards_by_their_answers_to_reset(atr: str, kind: str) -> None:
    assert kind in done("ATR_analysis", atr)
