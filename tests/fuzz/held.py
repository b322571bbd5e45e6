"""The cards that members hold, what each may be taken for, and the judgement over what it was.

The rule that is held everywhere: whatever happens on the way, what comes out is the identity of a
card that was held, or none. A card that was read by two schemes is one card under both.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from edge.frontends import Technology
from edge.identify import Identified
from edge.roster import Rosters
from hw.sim.cards import FeliCaCard, StaffToken
from hw.sim.mynumber import MyNumberCard
from tests.edge.reader_kit import OPEN_ROW, PASS, make_reader, my_number_card
from wire.codes import Code
from wire.credential import Credential, Scheme
from wire.roster import Moving

ALL: Final[tuple[Technology, ...]] = ("106B", "212F", "106A")
MOVING: Final = Moving(Scheme.JPKI_AUTH, Scheme.COMMON_AP)
"""So that a member's card is read by both schemes, in four commands."""
FWI_5: Final = b"\x51"
"""In the last byte of an ATQB: 9.7 ms (ISO/IEC 14443-3, 7.9.4.7), and CID."""
WRONG_MAX: Final = 20
"""Lines about what was wrong; beyond it something is wrong in general."""

Good = MyNumberCard | FeliCaCard | StaffToken


@dataclass
class Tally:
    """What came of many cases."""

    times: int = 0
    right: int = 0
    """Identified as a card that was held."""
    none: int = 0
    """No card, none that could be read, or none that was understood."""
    faults: int = 0
    """The front end failed, and said so."""
    longest_s: float = 0.0
    """The longest that a card's holder waited."""
    wrong: list[str] = field(default_factory=list)

    def blame(self, what: str) -> None:
        """Write down what must not be. Raises RuntimeError when there is too much of it."""
        self.wrong.append(what)
        if len(self.wrong) > WRONG_MAX:
            raise RuntimeError("; ".join(self.wrong))

    def add(self, other: "Tally") -> None:
        """Take in what came of other cases."""
        for name in ("times", "right", "none", "faults", "wrong"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.longest_s = max(self.longest_s, other.longest_s)


class Mistaken(AssertionError):
    """An identity came out that can be no card's that was held."""


class Members:
    """A reader's members, half of whom have moved to another scheme, and two strangers.

    Their cards think in no time. `hasty`: they say so, and a reader that waits for as long as a
    card may be silent waits for 10 ms.
    """

    def __init__(self, folder: Path, *, hasty: bool = False) -> None:
        rng = random.Random("members")
        self.kit = make_reader(folder, "udp:127.0.0.1:1", technologies=ALL)
        self.kit.key(PASS)
        self.kit.give_keys()
        drawn = [my_number_card(rng.randrange(10**14, 10**15), 0) for _ in range(6)]
        for card in drawn if hasty else []:
            card.atqb_tail = card.atqb_tail[:-1] + FWI_5
        self.my_number_cards: Final = drawn[:4]
        others: list[Good] = [
            FeliCaCard(b"\x01\x14" + rng.randbytes(6)),
            StaffToken(b"\xc1" + rng.randbytes(3)),
            StaffToken(b"\x04" + rng.randbytes(6)),
        ]
        self.strangers: Final = drawn[4:]
        self.cards: Final[list[Good]] = [*self.my_number_cards, *others]
        self._names = {id(card): self._named(card) for card in [*self.cards, *self.strangers]}
        self._enrol()
        self.rosters: Final = Rosters(self.kit.config)
        assert not self.rosters.load()

    def _named(self, card: Good) -> dict[Scheme, Credential]:
        schemes = {
            MyNumberCard: (Scheme.JPKI_AUTH, Scheme.COMMON_AP),
            FeliCaCard: (Scheme.FELICA_IDM,),
            StaffToken: (Scheme.STAFF_TOKEN,),
        }[type(card)]
        return {scheme: self.kit.credential(PASS, scheme, card) for scheme in schemes}

    def _enrol(self) -> None:
        rows = []
        for n, card in enumerate(self.cards):
            names = list(self._names[id(card)].values())
            rows.append(OPEN_ROW._replace(credential=names[n % len(names)]))
        schemes = (Scheme.JPKI_AUTH, Scheme.COMMON_AP, Scheme.FELICA_IDM, Scheme.STAFF_TOKEN)
        self.kit.give_roster(PASS, rows, schemes=schemes, moving=MOVING)

    def judge(self, found: Identified, held: Sequence[Good], tally: Tally, exact: bool) -> None:
        """Count what came of cards that were held. Raises Mistaken.

        `exact`: nothing that a card said was changed, so it can be no identity but theirs.
        Otherwise it can be nobody's; but no member's who was not there.
        """
        if found.match is None:
            tally.none += 1
            return
        under = set(found.match.under)
        names = [set(self._names[id(card)].values()) for card in held]
        if any(under <= one for one in names):
            tally.right += 1
        elif exact:
            raise Mistaken(f"{found.code}: no card that was held, or two of them in one")
        elif found.match.member and not any(under & one for one in names):
            raise Mistaken("a member who was not there")
        else:
            tally.none += 1

    def is_read(self, found: Identified, card: Good) -> bool:
        """True when a member's card was taken for what it is."""
        names = set(self._names[id(card)].values())
        return found.code is Code.OK and found.match is not None and set(found.match.under) <= names
