"""Rosters and keys are swapped whole: whenever the network half is killed, one of both stands."""

import hashlib
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from edge.durable import PARTIAL, remove_partial
from edge.pull import FOLDER, KEYS
from edge.roster import Rosters
from tests.edge.link_kit import named
from tests.edge.reader_kit import OPEN_ROW, PASS, ReaderKit, make_reader, my_number_card
from wire.credential import Credential, Scheme
from wire.roster import ROSTER, ROW
from wire.rows import Rows
from wire.rows_delta import Base, apply_delta, difference, encode_delta

KILLS = 10
MEMBERS = 4_000
CARD = my_number_card(1)

SWAP = """
import hashlib
import sys
from pathlib import Path
from edge.durable import replacing, replace_file
from wire.roster import ROSTER, ROW
from wire.rows_delta import Base, apply_delta
state, there, back = (Path(one) for one in sys.argv[1:])
roster, keys = state / "rosters" / "senior-pass.roster", state / "keys.sealed"
sealed = [(state / name).read_bytes() for name in ("keys.1", "keys.2")]
print("swapping", flush=True)
while True:
    for delta, key in ((there, sealed[1]), (back, sealed[0])):
        with roster.open("rb") as file:
            name = hashlib.sha256(ROSTER.read_head(file)).digest()
        held = Base(roster, name, ROW.size)
        with replacing(roster) as file:
            apply_delta(held, delta, file, ROSTER)
        replace_file(keys, key)
"""
"""What `link` does of it, over and over: there and back again."""


@pytest.fixture
def kit(tmp_path: Path) -> ReaderKit:
    return make_reader(tmp_path / "bus-1", "udp:127.0.0.1:1")


def members(kit: ReaderKit, changed: bool) -> list[Credential]:
    numbers = range(7 if changed else 0, MEMBERS, 1)
    made = [Credential(hashlib.sha256(n.to_bytes(4)).hexdigest()[:32]) for n in numbers]
    return [*made, kit.credential(PASS, Scheme.COMMON_AP, CARD)]


def given(kit: ReaderKit, version: int, changed: bool) -> bytes:
    rows = [OPEN_ROW._replace(credential=one) for one in members(kit, changed)]
    kit.give_roster(PASS, rows, version=version)
    return (kit.state / FOLDER / f"{PASS}.roster").read_bytes()


def delta(folder: Path, one: bytes, other: bytes) -> bytes:
    """Return what turns one file into the other."""
    files = []
    for name, data in (("one", one), ("other", other)):
        (folder / name).write_bytes(data)
        with (folder / name).open("rb") as file:
            head = ROSTER.read_head(file)
            files.append((head, Rows.map(file, len(head), ROW.size)))
    change = difference(files[0][1], files[1][1], len(other))
    assert change is not None
    return encode_delta(hashlib.sha256(files[0][0]).digest(), files[1][0], change)


def test_a_kill_at_any_moment_leaves_the_former_or_the_new_and_both_work(kit: ReaderKit) -> None:
    sealed = []
    for epoch in (1, 2):
        kit.key(PASS, epoch)
        kit.give_keys()
        sealed.append((kit.state / KEYS).read_bytes())
        (kit.state / f"keys.{epoch}").write_bytes(sealed[-1])
    old, new = given(kit, 1, changed=False), given(kit, 2, changed=True)
    there, back = kit.folder / "there", kit.folder / "back"
    there.write_bytes(delta(kit.folder, old, new))
    back.write_bytes(delta(kit.folder, new, old))
    roster, draw = kit.state / FOLDER / f"{PASS}.roster", random.Random(8)
    found = []
    for _ in range(KILLS):
        roster.write_bytes(old)
        process = subprocess.Popen(
            [sys.executable, "-c", SWAP, str(kit.state), str(there), str(back)],
            stdout=subprocess.PIPE,
        )
        with process:
            assert process.stdout
            process.stdout.readline()
            time.sleep(draw.random() * 0.1)
            process.kill()
        assert roster.read_bytes() in (old, new)
        assert (kit.state / KEYS).read_bytes() in sealed
        found.append((roster.read_bytes() == new, bool(leftovers(kit))))
        for folder in (kit.state, roster.parent):
            remove_partial(folder)  # as `link` does at its start
        assert leftovers(kit) == []
        rosters = Rosters(kit.config)
        assert rosters.load() == []
        digits = bytearray(CARD.data.serial.encode())
        assert rosters.look_up(Scheme.COMMON_AP, digits).member
    assert any(partial for _, partial in found), "never killed in the middle"


def leftovers(kit: ReaderKit) -> list[str]:
    return [name for _, _, names in os.walk(kit.state) for name in names if PARTIAL in name]


def test_a_delta_that_cannot_be_merged_leaves_the_former(kit: ReaderKit) -> None:
    old = given(kit, 1, changed=False)
    path = kit.state / FOLDER / f"{PASS}.roster"
    came = kit.folder / "came"
    came.write_bytes(delta(kit.folder, old, given(kit, 2, changed=True))[:-1])
    path.write_bytes(old)
    held = Base(path, named(old), ROW.size)
    with (kit.folder / "made").open("wb") as into, pytest.raises(ValueError, match="cut short"):
        apply_delta(held, came, into, ROSTER)
    assert path.read_bytes() == old
