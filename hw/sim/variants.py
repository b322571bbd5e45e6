"""Every kind of card that may be held over a reader, by name, each a small factory.

For tests that must hold for any card, and for towns that want the rare ones. What a factory takes
is a card's data, or a source of chance for cards of which only the kind matters.
"""

import datetime
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from hw.sim.card import Card
from hw.sim.cards import foreign_eid
from hw.sim.chip import Chip
from hw.sim.chipdata import ChipData
from hw.sim.felica import FeliCaCard, LiteS, PeerPhone
from hw.sim.jpki import old_jpki, phone_jpki
from hw.sim.licence import driving_licence
from hw.sim.mynumber import JPKI_AP, MyNumberCard
from hw.sim.typea import Phone, StaffToken
from hw.sim.typeb import TypeBCard

OLD_CARD_DATA: Final = bytes.fromhex("000014E0")
OLD_CARD_PROTOCOL: Final = bytes.fromhex("B38191")
"""Of a resident-register card's ATQB (pcsc-tools: 3B 88 80 01 000014E0 B38191 00 5E); FWI 9."""
SLOW_MS: Final = 450
"""Longer than the 309 ms for which the card may be silent: it must ask for time."""
FILLER: Final = 300
ISSUED: Final = datetime.date(2025, 4, 1)


def slow(data: ChipData) -> MyNumberCard:
    """A My Number Card that thinks for longer than it may be silent."""
    return MyNumberCard(data, apdu_ms=SLOW_MS)


def with_filler(data: ChipData) -> MyNumberCard:
    """A My Number Card whose certificates do not fill their files."""
    return MyNumberCard(data, filler=FILLER)


def without_common_ap(data: ChipData) -> MyNumberCard:
    """A My Number Card that has no common AP, or none that it shows."""
    return MyNumberCard(data, common_ap=False)


def of_the_first_generation(data: ChipData) -> MyNumberCard:
    """A My Number Card whose certificates the former authority of the same name issued."""
    return MyNumberCard(replace(data, generation=1))


def old_resident_card(data: ChipData) -> TypeBCard:
    """A resident-register card (住基カード), issued until 2015 and found in drawers since.

    Of our applications it is known to have JPKI alone, with a signature certificate; the common AP
    came with the My Number Card.
    """
    pupi = (int(data.serial) % 2**32).to_bytes(4, "big")
    chip = Chip({JPKI_AP: old_jpki(data)})
    return TypeBCard(chip, pupi, application_data=OLD_CARD_DATA, protocol=OLD_CARD_PROTOCOL)


def android_phone(data: ChipData, rng: random.Random) -> Phone:
    """An Android phone with certificates of its own (スマホ用電子証明書), found as Type A."""
    return Phone(rng, _phone_chip(data))


def android_phone_type_b(data: ChipData, rng: random.Random) -> TypeBCard:
    """The same phone where its secure element speaks Type B; which one does is not published."""
    return TypeBCard(_phone_chip(data), rng)


def _phone_chip(data: ChipData) -> Chip:
    return Chip({JPKI_AP: phone_jpki(data)})


def blank_card(rng: random.Random) -> TypeBCard:
    """A Type B card that is selected and then says 6A82, file not found, whatever it is asked."""
    return TypeBCard(Chip({}, wrong_status=dict.fromkeys(range(256), 0x6A82)), rng)


VARIANTS: Final[dict[str, Callable[[ChipData, random.Random], Card]]] = {
    "my-number": lambda data, _: MyNumberCard(data),
    "my-number of the first generation": lambda data, _: of_the_first_generation(data),
    "my-number with a new PUPI each time": MyNumberCard,
    "my-number with filler": lambda data, _: with_filler(data),
    "my-number without common AP": lambda data, _: without_common_ap(data),
    "slow my-number": lambda data, _: slow(data),
    "old resident card": lambda data, _: old_resident_card(data),
    "android phone": android_phone,
    "android phone as Type B": android_phone_type_b,
    "driving licence": lambda _, rng: driving_licence(rng, ISSUED),
    "foreign identity card": lambda _, rng: foreign_eid(rng),
    "blank Type B card": lambda _, rng: blank_card(rng),
    "phone in card mode": lambda _, rng: Phone(rng),
    "token with 4-byte UID": lambda _, rng: StaffToken(b"\xc1" + rng.randbytes(3)),
    "token with 7-byte UID": lambda _, rng: StaffToken(b"\x04" + rng.randbytes(6)),
    "transit card": lambda _, rng: FeliCaCard(b"\x01\x14" + rng.randbytes(6)),
    "card of several systems": lambda _, rng: FeliCaCard(
        b"\x01\x14" + rng.randbytes(6), systems=(0x0003, 0x86A7, 0x12FC, 0xFE00)
    ),
    "FeliCa Lite-S": lambda _, rng: LiteS(b"\x01\x2e" + rng.randbytes(6)),
    "phone in peer-to-peer mode": lambda _, rng: PeerPhone(rng),
}
"""By name, from a card's data and a source of chance; a card may use either."""
