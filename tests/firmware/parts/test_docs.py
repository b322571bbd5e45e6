"""docs/reader-head.md says what the firmware and the link are: operations, meanings, moves."""

import sys

import face
import headlink
import power
import senses

PAGE = sys.argv[1].split("/tests/")[0] + "/docs/reader-head.md"


def rows(title):
    """Return the cells of the first table under a title, without its head."""
    with open(PAGE) as file:
        section = file.read().split(f"\n## {title}\n")[1].split("\n## ")[0]
    lines = [line for line in section.split("\n") if line[:1] == "|"]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def form(form, tail):
    return form[1:] + ("…" if tail else "")


def test_the_table_of_operations_is_the_link():
    written = [tuple(row[:4]) for row in rows("The link")]
    declared = []
    for op in headlink.OPS + headlink.EVENTS:
        asked, answered = form(op.asked, op.tail_asked), form(op.answered, op.tail_answered)
        declared.append((f"`{op.name}`", f"0x{op.code:02x}", asked, answered))
    assert written == declared, [pair for pair in zip(written, declared) if pair[0] != pair[1]]


def test_limits_and_errors_are_the_links():
    with open(PAGE) as file:
        page = file.read()
    for said in (
        f"{headlink.PAYLOAD_MAX}\nbytes of payload",
        f"{headlink.WATCH_S_MIN} s or more",
        f"at most {headlink.RELAY_MS_MAX:,}",
        f"{face.SILENT_MS // 1000} seconds is shown as a fault",
        f"{power.BOUNDS_MS[power.LEAVING] // 1000} s to say what it does",
        f"shutting down, {power.BOUNDS_MS[power.GOING] // 1000} s at most",
        f"at most {power.PATIENCE_MS_MAX // 3_600_000} hours",
        f"too-hot` from {senses.HOT_TENTHS // 10} °C",
    ):
        assert said.replace("\n", " ") in page.replace("\n", " "), said
    errors = page.split("Errors: ")[1].split(". The link")[0].split(", ")
    assert [int(error.split(" ")[0]) for error in errors] == list(range(1, headlink.NO_HELLO + 1))


def test_every_meaning_is_described_in_the_links_order():
    table = rows("What it shows and sounds")
    assert [row[0] for row in table] == [f"`{meaning}`" for meaning in headlink.MEANINGS]
    for row in table:
        silent = row[0].strip("`") not in face.SOUNDS
        assert (row[4] == "none") == (row[3] == "なし") == silent, row


def test_every_move_of_the_supply_is_described():
    table = {row[0].strip("`"): row[2] for row in rows("The computer's supply")}
    assert set(table) == set(power.MOVES)
    for state, moves in power.MOVES.items():
        named = table[state].split("`")[1::2]
        assert set(named) == {to for to in moves.values() if to != state}, state
