"""docs/reader-head.md says what the firmware and the link are: operations, meanings, moves."""

import sys

import face
import headlink
import power

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
