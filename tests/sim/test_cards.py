"""The other simulated cards, good and bad, as a stock nfcpy 1.0.4 meets them."""

import random
import time
from collections.abc import Callable
from datetime import date

import nfc
import nfc.clf
import nfc.tag
import nfc.tag.tt3_sony
import nfc.tag.tt4
import pytest

from hw.sim.antenna import Antenna
from hw.sim.cards import Card, FeliCaCard, Phone, StaffToken, TornAway, foreign_eid
from hw.sim.mynumber import COMMON_AP, JPKI_AP, ChipData, MyNumberCard
from tests.timing import IN_TIME

Hold = Callable[[Card], nfc.tag.tt4.Type4Tag]

SELECT_COMMON_AP = bytes.fromhex("00A4040C0A") + COMMON_AP
SELECT_JPKI_AP = bytes.fromhex("00A4040C0A") + JPKI_AP
READ_RECORD = bytes.fromhex("00B2010C00")
POLL_TRANSIT = bytes.fromhex("0000030100")


def my_number_card(apdu_ms: float = 10) -> MyNumberCard:
    data = ChipData.drawn(random.Random(1), date(2026, 11, 20))
    return MyNumberCard(data, apdu_ms=apdu_ms)


def status(tag: nfc.tag.tt4.Type4Tag, command: bytes) -> str:
    return bytes(tag.transceive(command))[-2:].hex()


def test_a_foreign_identity_card_knows_none_of_our_applications(hold_chip: Hold) -> None:
    tag = hold_chip(foreign_eid(random.Random(1)))
    assert {status(tag, command) for command in (SELECT_COMMON_AP, SELECT_JPKI_AP)} == {"6a82"}


@IN_TIME
def test_a_card_torn_away_in_an_apdu_costs_stock_nfcpy_four_frame_waits(hold_chip: Hold) -> None:
    tag = hold_chip(TornAway(my_number_card(), frames=3))  # ATQB, ATTRIB, SELECT
    assert status(tag, SELECT_COMMON_AP) == "9000"
    started_s = time.monotonic()
    with pytest.raises(nfc.tag.tt4.Type4TagCommandError) as caught:
        tag.transceive(READ_RECORD)
    assert caught.value.errno == nfc.tag.TIMEOUT_ERROR
    assert 1.2 < time.monotonic() - started_s < 1.5


def test_a_card_torn_away_after_a_time_answers_nothing_that_takes_longer(
    hold_chip: Hold, front_end: nfc.clf.ContactlessFrontend
) -> None:
    tag = hold_chip(TornAway(my_number_card(apdu_ms=60), ms=100))
    tag._dep.n_retry_nak, tag._dep.fwt = 0, 0.15
    assert status(tag, SELECT_COMMON_AP) == "9000"
    with pytest.raises(nfc.tag.tt4.Type4TagCommandError):
        tag.transceive(READ_RECORD)
    assert front_end.sense(nfc.clf.RemoteTarget("106B")) is None


def test_a_transit_card_answers_for_its_system_with_its_idm(
    antenna: Antenna, front_end: nfc.clf.ContactlessFrontend
) -> None:
    antenna.place(FeliCaCard(bytes.fromhex("0112030405060708")))
    target = front_end.sense(nfc.clf.RemoteTarget("212F", sensf_req=POLL_TRANSIT))
    sensf = bytes(target.sensf_res)
    assert sensf[1:9] == bytes.fromhex("0112030405060708")
    assert sensf[17:] == bytes.fromhex("0003")
    tag = nfc.tag.activate(front_end, target)
    assert isinstance(tag, nfc.tag.tt3_sony.FelicaStandard)
    assert tag.is_present  # by Request Response
    antenna.remove()
    assert not tag.is_present


@pytest.mark.parametrize(
    ("sensf_req", "first_byte"),
    [("00FFFF0100", 0x01), ("0000030000", 0x01), ("00FE000100", 0x11), ("0012FC0100", None)],
)
def test_the_idm_tells_which_system_answered(
    antenna: Antenna,
    front_end: nfc.clf.ContactlessFrontend,
    sensf_req: str,
    first_byte: int | None,
) -> None:
    antenna.place(FeliCaCard(bytes.fromhex("0112030405060708")))
    request = nfc.clf.RemoteTarget("212F", sensf_req=bytes.fromhex(sensf_req))
    target = front_end.sense(request)
    assert (target and target.sensf_res[1]) == first_byte


@pytest.mark.parametrize("uid", ["0A0B0C0D", "04A1B2C3D4E5F6"])
def test_a_staff_token_gives_its_fixed_uid_also_when_sought_by_it(
    antenna: Antenna, front_end: nfc.clf.ContactlessFrontend, uid: str
) -> None:
    antenna.place(StaffToken(bytes.fromhex(uid)))
    target = front_end.sense(nfc.clf.RemoteTarget("106A"))
    assert bytes(target.sdd_res) == bytes.fromhex(uid)
    assert target.sel_res[0] == 0
    tag = nfc.tag.activate(front_end, target)
    assert tag.identifier == bytes.fromhex(uid)
    assert tag.is_present
    target.sel_req = target.sdd_res
    assert front_end.sense(target).sdd_res == target.sdd_res


def test_a_phone_has_a_new_uid_each_time_and_none_of_our_applications(
    antenna: Antenna, front_end: nfc.clf.ContactlessFrontend
) -> None:
    antenna.place(Phone(random.Random(3)))
    targets = [front_end.sense(nfc.clf.RemoteTarget("106A")) for _ in range(3)]
    assert {target.sdd_res[0] for target in targets} == {0x08}
    assert len({bytes(target.sdd_res) for target in targets}) == 3
    tag = nfc.tag.activate(front_end, targets[-1])
    assert isinstance(tag, nfc.tag.tt4.Type4ATag)
    assert status(tag, SELECT_JPKI_AP) == "6a82"


def frames(card: Card, *sent: str) -> list[str | None]:
    """Send frames to a Type B card; its answers in hex."""
    replies = (card.answer("106B", bytes.fromhex(frame)) for frame in sent)
    return [reply.data.hex() if reply else None for reply in replies]


def test_a_type_b_card_that_was_halted_or_deselected_answers_only_a_wake_up() -> None:
    card = foreign_eid(random.Random(1))
    atqb = frames(card, "050000")[0]
    assert atqb is not None
    pupi = atqb[2:10]
    request, wake_up, attrib, deselect = "050000", "050008", f"1d{pupi}00080100", "c2"
    assert frames(card, f"50{pupi}", request, wake_up, request) == ["00", None, atqb, atqb]
    assert frames(card, attrib, request, deselect, request) == ["00", None, "c2", None]
    assert frames(card, attrib, wake_up, attrib) == [None, atqb, "00"]


def test_a_type_b_card_answers_calls_for_any_family_and_its_own() -> None:
    card = foreign_eid(random.Random(1))
    answers = frames(card, "050000", "051000", "052008")
    assert answers[0] is not None
    assert answers[1:] == [None, None]


def test_a_type_b_card_ignores_attrib_for_another() -> None:
    assert frames(foreign_eid(random.Random(1)), "050000", "1d0000000000080100")[1] is None
