"""From a card on an antenna to the fleet's verdict: every byte between them as it travels."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from edge.card_proof import Outcome, Result, prove
from edge.frontends.nfcpy import Nfcpy
from fleet.card_proof import CardProofs, Reason
from fleet.config import CardCertificates
from hw.sim.antenna import Antenna
from hw.sim.mynumber import MyNumberCard
from tests.edge.reader_kit import my_number_card
from tests.real_ocsp import authority, start_responder
from wire.card_proof import CardProof, Challenge, Purpose
from wire.clock import SystemClock

READER = "kazasu-shi/desk-1"
CARD, LOST = my_number_card(1), my_number_card(2)


@pytest.fixture
def proofs(tmp_path: Path) -> Iterator[CardProofs]:
    """Make a fleet that trusts both generations and asks a real responder."""
    folder = tmp_path / "authorities"
    folder.mkdir()
    for generation in (1, 2):
        pem = authority(generation).certificate.public_bytes(Encoding.PEM)
        (folder / f"{generation}.pem").write_bytes(pem)
    valid, revoked = (one.data.certificate_serial for one in (CARD, LOST))
    with start_responder(tmp_path / "ocsp", authority(), valid=[valid], revoked=[revoked]) as url:
        yield CardProofs(
            CardCertificates(
                approved="by the test itself", authorities=str(folder), need="ocsp", ocsp=url
            )
        )


def travelled(message: Any) -> Any:
    return msgspec.json.decode(msgspec.json.encode(message), type=type(message))


def at_the_desk(card: MyNumberCard, challenge: Challenge, pin: bytes) -> Result:
    with Antenna() as antenna:
        antenna.place(card)
        front_end = Nfcpy(antenna.device, "0003")
        found = front_end.sense(("106B",))
        assert found
        result = prove(found, challenge, bytearray(pin), SystemClock())
        front_end.close()
    return result


async def verdict(proofs: CardProofs, card: MyNumberCard) -> tuple[Reason, CardProof]:
    now_ms = int(datetime.now(UTC).timestamp() * 1000)
    asked = proofs.challenges.make(Purpose.ENROL, READER, "senior-pass", now_ms)
    result = at_the_desk(card, travelled(asked), b"1234")
    assert result.outcome is Outcome.OK
    assert result.proof
    proof = travelled(result.proof)
    return (await proofs.judge(proof, READER, now_ms)).reason, proof


async def test_a_card_with_its_pin_is_believed_once_and_a_lost_one_is_not(
    proofs: CardProofs,
) -> None:
    reason, proof = await verdict(proofs, CARD)
    assert reason is Reason.OK
    again = await proofs.judge(proof, READER, 0)
    assert again.reason is Reason.NOT_ASKED
    assert (await verdict(proofs, LOST))[0] is Reason.REVOKED
    assert (await verdict(proofs, my_number_card(3)))[0] is Reason.STATUS_UNKNOWN


async def test_without_the_pin_there_is_nothing_to_judge(proofs: CardProofs) -> None:
    asked = proofs.challenges.make(Purpose.ENROL, READER, "senior-pass", 0)
    result = at_the_desk(my_number_card(1), asked, b"4321")
    assert result == (Outcome.WRONG_PIN, 2, None)
