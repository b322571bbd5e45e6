"""Every kind of simulated card, as a stock nfcpy 1.0.4 finds and uses it."""

import contextlib
import random
from collections.abc import Callable, Iterator
from datetime import date

import nfc
import nfc.clf
import nfc.tag
import nfc.tag.tt3_sony
import nfc.tag.tt4
import pytest

from hw.sim.antenna import Antenna
from hw.sim.cards import Card, FeliCaCard, Phone, StaffToken
from hw.sim.felica import LITE_S, LiteS, PeerPhone
from hw.sim.licence import LICENCE_AP, PHOTO_AP, driving_licence
from hw.sim.mynumber import COMMON_AP, FACE_AP, INPUT_SUPPORT_AP, JPKI_AP, MyNumberCard
from hw.sim.torn import TornAway, every_cut
from hw.sim.typeb import TypeBCard
from hw.sim.variants import (
    FILLER,
    VARIANTS,
    android_phone,
    android_phone_type_b,
    blank_card,
    of_the_first_generation,
    old_resident_card,
    slow,
    with_filler,
    without_common_ap,
)
from tests.sim.chip_kit import DATA, read_all, select, select_file, verify

Hold = Callable[[Card], nfc.tag.tt4.Type4Tag]
Sense = Callable[..., nfc.clf.RemoteTarget | None]
RECORD = DATA.common_record()
READ_RECORD = bytes.fromhex("00B2010C00")
AUTH_CERTIFICATE, SIGN_CERTIFICATE, SIGN_PASSWORD = 0x0A, 0x01, 0x1B


@pytest.fixture
def sense(antenna: Antenna, front_end: nfc.clf.ContactlessFrontend) -> Sense:
    """Hold cards over the reader and look for one of a technology."""

    def sensed(technology: str, *cards: Card, **how: bytes) -> nfc.clf.RemoteTarget | None:
        antenna.place(*cards)
        return front_end.sense(nfc.clf.RemoteTarget(technology, **how))

    return sensed


def send(tag: nfc.tag.tt4.Type4Tag, *commands: bytes) -> bytes:
    for command in commands:
        answer = bytes(tag.transceive(command))
    return answer


def status(tag: nfc.tag.tt4.Type4Tag, *commands: bytes) -> str:
    return send(tag, *commands)[-2:].hex()


@pytest.mark.parametrize("name", VARIANTS)
def test_every_kind_of_card_is_found_by_one_technology_alone(sense: Sense, name: str) -> None:
    card = VARIANTS[name](DATA, random.Random(1))
    polls = {"106B": {}, "106A": {}, "212F": {"sensf_req": bytes.fromhex("00FFFF0100")}}
    found = [technology for technology, how in polls.items() if sense(technology, card, **how)]
    assert len(found) == 1


def test_the_same_seed_gives_the_same_card() -> None:
    for make in VARIANTS.values():
        one, other = (make(DATA, random.Random(7)) for _ in range(2))
        assert told(one) == told(other)


def told(card: Card) -> list[bytes]:
    card.reset()
    polls = [("106B", "050008"), ("106A", "26"), ("106A", "9320"), ("212F", "0600FFFF0100")]
    replies = (card.answer(technology, bytes.fromhex(poll)) for technology, poll in polls)
    return [reply.data if reply else b"" for reply in replies]


@pytest.mark.parametrize(
    ("card", "tail"),
    [
        (MyNumberCard(DATA), "000005E0B381A1"),
        (old_resident_card(DATA), "000014E0B38191"),
        (driving_licence(random.Random(1), date(2025, 4, 1)), "000000009181C1"),
    ],
)
def test_a_card_announces_itself_as_in_the_published_lists_of_atrs(
    sense: Sense, card: TypeBCard, tail: str
) -> None:
    target = sense("106B", card)
    assert target is not None
    assert bytes(target.sensb_res)[5:] == bytes.fromhex(tail)


def test_an_old_resident_card_has_a_signature_and_nothing_else_of_ours(hold_chip: Hold) -> None:
    tag = hold_chip(old_resident_card(DATA))
    assert status(tag, select(COMMON_AP)) == "6a82"
    assert send(tag, select(JPKI_AP), read_all(0x06))[:16] == b"JPKIAPICCTOKEN  "
    assert status(tag, read_all(AUTH_CERTIFICATE)) == "6a82"
    assert status(tag, verify(DATA.secrets.signature, SIGN_PASSWORD)) == "9000"
    assert send(tag, read_all(SIGN_CERTIFICATE))[:2] == b"\x30\x82"


@pytest.mark.parametrize("technology", ["A", "B"])
def test_an_android_phone_wants_the_pin_before_its_authentication_certificate(
    antenna: Antenna, front_end: nfc.clf.ContactlessFrontend, technology: str
) -> None:
    make = android_phone if technology == "A" else android_phone_type_b
    antenna.place(make(DATA, random.Random(1)))
    tag = nfc.tag.activate(front_end, front_end.sense(nfc.clf.RemoteTarget(f"106{technology}")))
    assert isinstance(tag, nfc.tag.tt4.Type4Tag)
    assert status(tag, select(COMMON_AP)) == "6a82"
    assert send(tag, select(JPKI_AP), read_all(0x06))[:16] == b"JPKIAPGPSETOKEN "
    assert status(tag, read_all(AUTH_CERTIFICATE)) == "6982"
    assert status(tag, verify(DATA.secrets.authentication, 0x18)) == "9000"
    assert send(tag, read_all(AUTH_CERTIFICATE))[:-2] == DATA.certificate()


def test_a_driving_licence_opens_by_two_pins_that_outlast_selection(hold_chip: Hold) -> None:
    tag = hold_chip(driving_licence(random.Random(1), date(2025, 4, 1)))
    mf = bytes.fromhex("00A40000")
    common = send(tag, mf, select_file(0x2F01), bytes.fromhex("00B0000011"))
    assert common == bytes.fromhex("450B 303039 20250401 20300331 4602 0000 9000")
    assert status(tag, bytes.fromhex("00200081")) == "63c3"
    assert status(tag, select(LICENCE_AP), select_file(1), bytes.fromhex("00B0000000")) == "6982"
    assert status(tag, mf, verify(b"1234", 1)) == "9000"
    entries = send(tag, select(LICENCE_AP), select_file(1), bytes.fromhex("00B0000000"))
    assert b"\x1b$B" + entries[5:15] == "見本　花子".encode("iso2022_jp")[:13]
    permanent_address = (select_file(2), bytes.fromhex("00B0000000"))
    assert status(tag, *permanent_address) == "6982"  # takes both
    assert status(tag, mf, verify(b"0000", 2)) == "63c2"
    assert status(tag, verify(b"5678", 2)) == "9000"
    assert status(tag, select(LICENCE_AP), *permanent_address) == "9000"
    photo = send(tag, select(PHOTO_AP), bytes.fromhex("00B08100000000"))
    assert (photo[:5], len(photo)) == (bytes.fromhex("5F408207D0"), 2007)
    assert status(tag, select(JPKI_AP)) == "6a82"


def test_a_driving_licence_forgets_its_pins_with_the_field(hold_chip: Hold) -> None:
    card = driving_licence(random.Random(1), date(2025, 4, 1))
    entries = (select(LICENCE_AP), select_file(1), bytes.fromhex("00B0000000"))
    assert status(hold_chip(card), verify(b"1234", 1), *entries) == "9000"
    assert status(hold_chip(card), *entries) == "6982"


def test_a_blank_card_is_selected_and_finds_nothing(hold_chip: Hold) -> None:
    tag = hold_chip(blank_card(random.Random(1)))
    asked = (select(COMMON_AP), READ_RECORD, read_all(1), bytes.fromhex("00CA004500"))
    assert {status(tag, command) for command in asked} == {"6a82"}


def test_what_is_amiss_with_a_my_number_card_shows_in_one_place_alone(hold_chip: Hold) -> None:
    filled = send(hold_chip(with_filler(DATA)), select(JPKI_AP), read_all(AUTH_CERTIFICATE))
    assert filled[:-2] == DATA.certificate() + b"\xff" * FILLER
    assert status(hold_chip(without_common_ap(DATA)), select(COMMON_AP)) == "6a82"
    old = send(hold_chip(of_the_first_generation(DATA)), select(JPKI_AP), read_all(0x0B))
    new = send(hold_chip(MyNumberCard(DATA)), select(JPKI_AP), read_all(0x0B))
    assert old != new


def test_a_slow_card_asks_for_time_within_what_it_announced(hold_chip: Hold) -> None:
    tag = hold_chip(slow(DATA))
    tag._dep.n_retry_nak = 0
    assert send(tag, select(COMMON_AP), READ_RECORD)[:-2] == RECORD


def test_a_card_of_several_systems_has_an_idm_for_each(sense: Sense) -> None:
    card = FeliCaCard(bytes.fromhex("0112030405060708"), systems=(0x0003, 0x86A7, 0x12FC))
    first_bytes = {}
    for system in ("0003", "86A7", "12FC", "FFFF", "FE00"):
        target = sense("212F", card, sensf_req=bytes.fromhex(f"00{system}0100"))
        first_bytes[system] = target and bytes(target.sensf_res)[1]
    assert first_bytes == {"0003": 0x01, "86A7": 0x11, "12FC": 0x21, "FFFF": 0x01, "FE00": None}


def test_nfcpy_lists_systems_services_and_journeys_of_a_transit_card(
    sense: Sense, front_end: nfc.clf.ContactlessFrontend
) -> None:
    journeys = {n: bytes([n]) * 16 for n in range(20)}
    card = FeliCaCard(bytes.fromhex("0112030405060708"), services={0x090F: journeys})
    tag = nfc.tag.activate(front_end, sense("212F", card))
    assert isinstance(tag, nfc.tag.tt3_sony.FelicaStandard)
    assert tag.is_present
    assert tag.request_system_code() == [0x0003, 0xFE00]
    history, locked = nfc.tag.tt3.ServiceCode(0x24, 0x0F), nfc.tag.tt3.ServiceCode(0x22, 0x0A)
    assert tag.request_service([history, locked]) == [0x0000, 0xFFFF]
    blocks = [nfc.tag.tt3.BlockCode(n) for n in (0, 19)]
    assert bytes(tag.read_without_encryption([history], blocks)) == journeys[0] + journeys[19]
    with pytest.raises(nfc.tag.tt3.Type3TagCommandError):
        tag.read_without_encryption([history], [nfc.tag.tt3.BlockCode(20)])
    with pytest.raises(nfc.tag.tt3.Type3TagCommandError):
        tag.read_without_encryption([locked], blocks)


def test_a_lite_s_tag_has_one_idm_for_both_systems_and_is_read_by_nfcpy(
    sense: Sense, front_end: nfc.clf.ContactlessFrontend
) -> None:
    idm = bytes.fromhex("012E030405060708")
    for system in LITE_S:
        target = sense("212F", LiteS(idm), sensf_req=b"\0" + system.to_bytes(2, "big") + b"\1\0")
        assert target is not None
        assert bytes(target.sensf_res)[1:9] == idm
    tag = nfc.tag.activate(front_end, target)
    assert isinstance(tag, nfc.tag.tt3_sony.FelicaLiteS)
    assert bytes(tag.read_without_mac(0x82))[:8] == idm
    assert tag.is_present
    assert sense("212F", LiteS(idm), sensf_req=bytes.fromhex("0000030100")) is None


def test_a_phone_in_peer_to_peer_mode_shows_another_01fe_number_each_time(sense: Sense) -> None:
    card = PeerPhone(random.Random(3))
    numbers = set()
    for _ in range(3):
        target = sense("212F", card, sensf_req=bytes.fromhex("00FFFF0100"))
        assert target is not None
        numbers.add(bytes(target.sensf_res)[1:9])
    assert len(numbers) == 3
    assert {number[:2] for number in numbers} == {b"\x01\xfe"}
    assert sense("212F", card, sensf_req=bytes.fromhex("0000030100")) is None


def test_two_cards_of_one_kind_are_not_understood_and_two_kinds_are_each_found(
    sense: Sense,
) -> None:
    mine, token = MyNumberCard(DATA), StaffToken(b"\x04" * 7)
    transit, phone = FeliCaCard(bytes.fromhex("0112030405060708")), Phone(random.Random(1))
    assert sense("106B", mine, old_resident_card(DATA)) is None
    assert sense("106A", token, phone) is None
    for technology in ("106B", "106A", "212F"):
        assert sense(technology, mine, token, transit) is not None


def use(front_end: nfc.clf.ContactlessFrontend, card: Card, antenna: Antenna) -> list[str]:
    """Find a card and ask it for its record; the status words up to where it left."""
    antenna.place(card)
    heard: list[str] = []
    target = front_end.sense(nfc.clf.RemoteTarget("106B"))
    tag = nfc.tag.activate(front_end, target) if target else None
    if tag is None:
        return heard
    tag._dep.n_retry_nak, tag._dep.fwt = 0, 0.02
    for command in (select(COMMON_AP), READ_RECORD, select(JPKI_AP), read_all(AUTH_CERTIFICATE)):
        heard.append(status(tag, command))
    return heard


def test_a_card_is_torn_away_at_every_frame_of_its_use(
    antenna: Antenna, front_end: nfc.clf.ContactlessFrontend
) -> None:
    def card() -> MyNumberCard:
        return MyNumberCard(DATA, apdu_ms=1)

    cuts = every_cut(card, lambda whole: complete.extend(use(front_end, whole, antenna)))
    complete: list[str] = []
    left: Iterator[int] = (answered(front_end, torn, antenna) for torn in cuts)
    # ATQB, ATTRIB, three APDUs of one frame, and a certificate in seven: twelve cuts.
    assert list(left) == list(range(12))
    assert complete == ["9000"] * 4


def answered(front_end: nfc.clf.ContactlessFrontend, torn: TornAway, antenna: Antenna) -> int:
    """Use a card that is torn away; how many frames it answered."""
    with contextlib.suppress(nfc.tag.TagCommandError):
        use(front_end, torn, antenna)
    return torn.answers


def test_the_number_is_behind_a_pin_on_every_card_that_has_it(hold_chip: Hold) -> None:
    for name in ("my-number", "my-number with filler", "slow my-number"):
        tag = hold_chip(VARIANTS[name](DATA, random.Random(1)))
        assert status(tag, select(INPUT_SUPPORT_AP), read_all(0x01)) == "6982"
        assert status(tag, select(FACE_AP), read_all(0x05)) == "6982"
