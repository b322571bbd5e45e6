"""Updates: only what is whole is tried, what is not healthy is left, power may go at any write."""

import hashlib
import os
import random

import headbundle
import headlink
import main
import update
from hardware import refused
from slots import FORMER, LATTER, Cut, Disk, content, fresh

BUNDLE = headbundle.pack(LATTER)
HASH = hashlib.sha256(BUNDLE).digest()
PIECE = 256


class Board:
    """A head that began from a slot."""

    def __init__(self, disk=None):
        self.slot = main.chosen()
        self.free, self.restarts, self.noted = True, 0, []
        disk = disk or Disk()
        self.update = update.Update(
            self.slot, lambda: self.free, self.restart, self.noted.append, disk, disk.open
        )

    def restart(self):
        self.restarts += 1


def send(board, bundle=BUNDLE, sha256=HASH, piece=PIECE):
    board.update.begin(0, len(bundle), sha256)
    for offset in range(0, len(bundle), piece):
        board.update.data(0, offset, bundle[offset : offset + piece])


def test_an_update_is_tried_and_kept_when_it_is_healthy():
    fresh("head")
    board = Board()
    assert board.slot == "a"
    send(board)
    assert board.update.end(1_000) == ()
    board.update.tick(1_000 + update.ANSWER_MS - 10)
    assert board.restarts == 0
    board.update.tick(1_000 + update.ANSWER_MS)
    assert board.restarts == 1
    board = Board()
    assert (board.slot, board.update.is_trial) == ("b", True)
    assert content("b") == LATTER
    assert board.update.healthy(0) == ()
    board.update.tick(update.TRIAL_MS)
    assert board.restarts == 0
    for _ in range(2):
        board = Board()
        assert (board.slot, board.update.is_trial, board.noted) == ("b", False, [])


def test_what_is_not_said_to_be_healthy_is_left_and_that_is_told():
    fresh("head")
    board = Board()
    send(board)
    board.update.end(0)
    on_trial = Board()
    on_trial.update.tick(update.TRIAL_MS - 10)
    assert on_trial.restarts == 0
    on_trial.update.tick(update.TRIAL_MS)
    assert on_trial.restarts == 1
    board = Board()
    assert (board.slot, board.noted) == ("a", ["fell-back"])
    assert content("a") == FORMER
    send(board)  # another try
    assert Board().noted == []


def test_updates_go_to_and_fro_between_the_slots():
    fresh("head")
    for slot, files in (("b", LATTER), ("a", FORMER), ("b", LATTER)):
        bundle = headbundle.pack(files)
        board = Board()
        send(board, bundle, hashlib.sha256(bundle).digest())
        board.update.end(0)
        board = Board()
        assert board.slot == slot
        board.update.healthy(0)
        assert content(slot) == files
        assert Board().noted == []


def test_every_size_of_a_piece_gives_the_same():
    fresh("head")
    for piece in (1, 7, 33, 256, len(BUNDLE)):
        board = Board()
        send(board, piece=piece)
        assert content("b") == LATTER
        assert refused(board.update.end, 0) is None
        os.remove("trial")


def test_another_hash_is_never_tried():
    fresh("head")
    board = Board()
    changed = BUNDLE[:-1] + b"!"
    send(board, changed)
    assert refused(board.update.end, 0) == "damaged"
    assert refused(board.update.end, 0) == headlink.NOT_NOW
    board.update.tick(10_000)
    assert board.restarts == 0
    assert Board().slot == "a"


def test_the_hash_is_that_of_what_lies_in_flash():
    fresh("head")
    board = Board()
    send(board)
    with open("b/nfc.mpy", "wb") as file:
        file.write(LATTER["nfc.mpy"][:-1] + b"!")
    assert refused(board.update.end, 0) == "damaged"
    assert Board().slot == "a"


def test_pieces_that_come_again_do_no_harm_and_others_out_of_order_are_refused():
    fresh("head")
    board = Board()
    taken = board.update.data
    board.update.begin(0, len(BUNDLE), HASH)
    assert refused(taken, 0, 1, BUNDLE[1:200]) == "damaged"
    for offset in range(0, len(BUNDLE), PIECE):
        piece = BUNDLE[offset : offset + PIECE]
        assert taken(0, offset, piece) == ()
        assert taken(0, offset, piece) == ()
        assert taken(0, 0, BUNDLE[:PIECE]) == ()
        if offset + 2 * PIECE < len(BUNDLE):
            assert refused(taken, 0, offset + 2 * PIECE, b"x") == "damaged"
    assert refused(taken, 0, len(BUNDLE), b"x") == "damaged"
    assert board.update.end(0) == ()
    assert content("b") == LATTER


def test_an_end_before_the_last_piece_and_pieces_before_a_beginning_are_refused():
    fresh("head")
    board = Board()
    assert refused(board.update.data, 0, 0, BUNDLE[:PIECE]) == headlink.NOT_NOW
    assert refused(board.update.end, 0) == headlink.NOT_NOW
    board.update.begin(0, len(BUNDLE), HASH)
    assert refused(board.update.end, 0) == headlink.NOT_NOW
    assert board.update.healthy(0) == ()
    assert os.listdir("b") == []


def test_no_size_beyond_the_bound_is_begun():
    fresh("head")
    board = Board()
    for size in (0, headbundle.SIZE_MAX + 1, 0xFFFFFFFF):
        assert refused(board.update.begin, 0, size, HASH) == "damaged"
    assert not board.update.is_under_way


def test_what_is_no_bundle_or_of_another_size_ends_the_update():
    short = BUNDLE[:5]
    for bundle in (b"no bundle", BUNDLE + b"more", BUNDLE[:-1], short, b"KZH1\xff"):
        fresh("head")
        board = Board()
        failed = None
        try:
            send(board, bundle, hashlib.sha256(bundle).digest())
            board.update.end(0)
        except headlink.Damaged as damaged:
            failed = damaged
        assert failed
        assert not board.update.is_under_way
        assert Board().slot == "a"
        os.chdir("..")
        os.rename("head", f"done{len(os.listdir())}")


def test_nothing_is_written_while_something_goes_on_that_must_not_wait():
    fresh("head")
    board = Board()
    board.free = False
    assert refused(board.update.begin, 0, len(BUNDLE), HASH) == headlink.NOT_NOW
    board.free = True
    board.update.begin(0, len(BUNDLE), HASH)
    board.free = False
    assert refused(board.update.data, 0, 0, BUNDLE[:PIECE]) == headlink.NOT_NOW
    board.free = True
    send(board)
    board.free = False
    assert refused(board.update.end, 0) == headlink.NOT_NOW
    board.free = True
    board.update.end(0)
    board.free = False
    board.update.tick(10_000)
    assert board.restarts == 0
    board.free = True
    board.update.tick(10_010)
    assert board.restarts == 1


def test_nothing_is_updated_on_trial_nor_after_the_end():
    fresh("head")
    board = Board()
    send(board)
    board.update.end(0)
    assert refused(board.update.begin, 0, len(BUNDLE), HASH) == headlink.NOT_NOW
    assert refused(Board().update.begin, 0, len(BUNDLE), HASH) == headlink.NOT_NOW
    assert content("a") == FORMER


def test_an_update_that_nobody_goes_on_with_is_given_up():
    fresh("head")
    board = Board()
    board.update.begin(0, len(BUNDLE), HASH)
    board.update.tick(update.IDLE_MS - 10)
    assert board.update.is_under_way
    board.update.data(update.IDLE_MS - 10, 0, BUNDLE[:PIECE])
    board.update.tick(2 * update.IDLE_MS - 20)
    assert board.update.is_under_way
    board.update.tick(2 * update.IDLE_MS)
    assert not board.update.is_under_way


def test_whatever_is_asked_in_whatever_order_a_whole_slot_begins():
    fresh("head")
    random.seed(29)
    board, tried = Board(), 0
    for step in range(600):
        ask = random.choice((begin_right, begin_wrong, next_piece, next_piece, any_piece, end, end))
        refused(ask, board)
        if random.randrange(20) == 0:
            refused(board.update.healthy, 0)
        if board.restarts or random.randrange(30) == 0:
            board = Board()
            tried += board.update.is_trial
            assert content(board.slot) in (FORMER, LATTER), step
    assert tried


def begin_right(board):
    if board.update._incoming is None:
        board.update.begin(0, len(BUNDLE), HASH)


def begin_wrong(board):
    if random.randrange(4) == 0:
        board.update.begin(0, random.randrange(2 * len(BUNDLE)), HASH)


def next_piece(board):
    have = board.update._incoming.have if board.update._incoming else 0
    board.update.data(0, have, BUNDLE[have : have + random.randrange(1, 900)])


def any_piece(board):
    if random.randrange(4) == 0:
        offset = random.randrange(len(BUNDLE))
        board.update.data(0, offset, bytes(random.randrange(300)))


def end(board):
    board.update.end(0)
    board.update.tick(update.ANSWER_MS)


def live(disk):
    """Update, restart, and be healthy, until the power goes. Return whether it went."""
    try:
        board = Board(disk)
        send(board)
        board.update.end(0)
        Board(disk).update.healthy(0)
    except Cut:
        return True
    return False


def test_power_may_go_at_any_write_and_a_whole_slot_begins():
    steps = 0
    while True:
        fresh("head")
        was_cut = live(Disk(steps))
        for _ in range(3):  # a trial, its end, and what stays
            slot = Board().slot
            assert content(slot) in (FORMER, LATTER), (steps, slot)
        if was_cut:
            assert not live(Disk())
        assert content(Board().slot) == LATTER, steps
        os.chdir("..")
        os.rename("head", f"cut{steps}")
        if not was_cut:
            break
        steps += 1
    assert steps > 15
