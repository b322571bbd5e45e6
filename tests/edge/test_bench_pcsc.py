"""`kazasu-edge card` over a PC/SC reader, with the real pcscd."""

import random
from pathlib import Path

import pytest

from edge.bench.cli import main
from hw.sim.cards import Phone
from tests.edge.pcsc_kit import desk
from tests.edge.reader_kit import my_number_card


@pytest.mark.parametrize(
    ("card", "said"),
    [
        (my_number_card(1), ("My Number Card", "common-ap: read", "the same id each time")),
        (Phone(random.Random(1)), ("Type A card or phone", "another id each time")),
    ],
    ids=["my-number-card", "phone"],
)
def test_info_knows_a_card_by_its_atr_and_powers_it_up_again_to_tell_a_random_id(
    card: object,
    said: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("LC_ALL", "en_GB.UTF-8")
    with desk(tmp_path) as place:
        place.reader.place(card)  # type: ignore[arg-type]
        assert main(["info", "pcsc"]) == 0
    out = capsys.readouterr().out
    assert [one for one in said if one not in out] == []
