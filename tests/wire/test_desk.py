"""What a desk asks and a reader answers, and what an entry may say of it."""

import msgspec
import pytest

from tests.fleet.virtual import make_tap
from wire.codes import Code, Outcome
from wire.credential import Scheme
from wire.desk import DeskAnswer, DeskCard, DeskRequest, DeskSaid
from wire.entries import EntryRefused, decode, encode
from wire.limits import DESK_CARDS_MAX, PAYLOAD_BYTES_MAX

CARD = DeskCard(Scheme.COMMON_AP, 1, "5c" * 16)
REQUEST = DeskRequest(1, "ab" * 16, "senior-pass", "enrol", 1, 2)


def read(kind: type[msgspec.Struct], said: msgspec.Struct) -> msgspec.Struct:
    return msgspec.json.decode(msgspec.json.encode(said), type=kind)


def test_both_messages_travel_and_the_longest_fits() -> None:
    whole = DeskAnswer(1, REQUEST.id, REQUEST.programme, 3, DeskSaid.READ, [CARD] * DESK_CARDS_MAX)
    assert read(DeskRequest, REQUEST) == REQUEST
    assert read(DeskAnswer, whole) == whole
    assert len(msgspec.json.encode(whole)) < PAYLOAD_BYTES_MAX // 10


@pytest.mark.parametrize("said", DeskSaid)
def test_cards_stand_in_the_answer_to_a_card_that_was_read_and_in_no_other(said: DeskSaid) -> None:
    wrong = [] if said is DeskSaid.READ else [CARD]
    with pytest.raises(ValueError, match="cards"):
        DeskAnswer(1, REQUEST.id, REQUEST.programme, 3, said, wrong)
    body = {"v": 1, "id": REQUEST.id, "programme": "x", "at_ms": 3, "said": said}
    sent = msgspec.json.encode({**body, "cards": wrong})
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(sent, type=DeskAnswer)


@pytest.mark.parametrize(
    "wrong",
    [{"id": "AB" * 16}, {"programme": "Ü"}, {"purpose": "a b"}, {"expires_ms": -1}, {"v": 2}],
)
def test_a_request_out_of_its_bounds_is_refused(wrong: dict[str, object]) -> None:
    body = msgspec.to_builtins(REQUEST) | wrong
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(msgspec.json.encode(body), type=DeskRequest)


def test_an_entry_of_a_card_for_a_desk_names_no_card_and_books_nothing() -> None:
    tap = make_tap(1, code=Code.DESK, outcome=Outcome.REPEAT, shown="desk.read")
    assert decode(encode(tap)) == tap
    plain = msgspec.json.decode(encode(tap))
    for wrong in ({"credential": CARD.credential}, {"outcome": "accepted"}, {"outcome": "refused"}):
        with pytest.raises(EntryRefused):
            decode(msgspec.json.encode(plain | wrong))
