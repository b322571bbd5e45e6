"""Fetching what the fleet wants: only what is signed, whole and newer takes its place."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519

from edge import pull, session
from edge import roster as tap_roster
from edge.durable import PARTIAL, replacing
from edge.panel import FleetTime, KeysReady, NamesReady, RosterCurrent, RosterReady, UsageReady
from edge.pull import FOLDER, KEYS, NAMES, TWIN_FILE, Twin
from edge.session import WAITED_MS_MIN
from tests.edge.link_kit import (
    PASS,
    READER,
    READY,
    CardHalf,
    Devices,
    Fleet,
    Reader,
    delta_of,
    named,
    named_usage,
    roster_file,
    running_devices,
    running_fleet,
    running_link,
    running_tap,
    usage_delta_of,
    usage_file,
    wanted,
)
from tests.edge.rig import running_broker, until
from wire.clock import SystemClock
from wire.envelope import Purpose, Signer
from wire.limits import KEYS_BYTES_MAX
from wire.messages import RosterWanted, TwinDesired, UsageWanted

ADDRESS = f"/v1/rosters/{PASS}/3"


@pytest.fixture(autouse=True)
def _haste(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pull, "JITTER_S", 0.05)
    monkeypatch.setattr(pull, "RETRY_CAP_S", 0.2)
    monkeypatch.setattr(session, "STATUS_PAUSE_S", 0.02)


@pytest.fixture
async def reader(tmp_path: Path) -> AsyncIterator[Reader]:
    async with running_broker(tmp_path / "broker") as broker:
        yield Reader(tmp_path / "bus-1", broker)


@pytest.fixture
async def fleet(reader: Reader) -> AsyncIterator[Fleet]:
    async with running_fleet(reader) as fleet:
        yield fleet


@pytest.fixture
async def devices(reader: Reader) -> AsyncIterator[Devices]:
    async with running_devices(reader) as devices:
        yield devices


@pytest.fixture
async def tap(reader: Reader) -> AsyncIterator[CardHalf]:
    async with running_tap(reader) as tap:
        yield tap


def in_place(reader: Reader) -> bytes | None:
    path = reader.state / FOLDER / f"{PASS}.roster"
    return path.read_bytes() if path.exists() else None


async def trouble(fleet: Fleet, words: str) -> None:
    await until(
        lambda: any(words in report.trouble for report in fleet.reports), f"trouble: {words}"
    )


async def test_a_wanted_roster_is_fetched_and_the_card_half_is_told(
    reader: Reader, fleet: Fleet, devices: Devices, tap: CardHalf
) -> None:
    data = devices.files[ADDRESS] = roster_file(reader)
    tap.greeting = [msgspec.structs.replace(READY, rosters={})]
    async with running_link(reader):
        await tap.connected()
        await fleet.desire(fleet.wish([wanted(data)], at_ms=1000))
        await until(lambda: RosterReady(PASS) in tap.heard, "tap is told")
        assert in_place(reader) == data
        tap.say(READY)
        await until(lambda: RosterCurrent(PASS, 3, 1000) in tap.heard, "it is the wanted one")
        await until(lambda: fleet.reports and fleet.reports[-1].rosters, "it is reported")
        assert (fleet.reports[-1].rosters[0].version, fleet.reports[-1].trouble) == (3, "")
        await fleet.desire(fleet.wish([wanted(data)], at_ms=2000))
        await until(lambda: RosterCurrent(PASS, 3, 2000) in tap.heard, "still the wanted one")
        await until(lambda: FleetTime(2000) in tap.heard, "a live message tells the time")
    assert devices.asked == [ADDRESS]


async def test_a_wish_that_waited_on_the_way_tells_no_time_until_another_says_the_same(
    reader: Reader, fleet: Fleet, tap: CardHalf
) -> None:
    async with running_link(reader):
        await tap.connected()
        await fleet.desire(fleet.wish([], at_ms=1))
        await until((reader.state / TWIN_FILE).exists, "it listens")
        first_ms = SystemClock().now_ms() + 60_000
        await fleet.desire(fleet.wish([], at_ms=first_ms))
        await until(lambda: FleetTime(first_ms) in tap.heard, "a later time is always believed")
        await asyncio.sleep(WAITED_MS_MIN / 1000 + 0.5)
        await fleet.desire(fleet.wish([], at_ms=first_ms + 1))
        await fleet.desire(fleet.wish([], at_ms=first_ms + 2))
        pause_s = WAITED_MS_MIN / 1000 + 0.2
        await asyncio.sleep(pause_s)
        third_ms = first_ms + round(pause_s * 1000)
        await fleet.desire(fleet.wish([], at_ms=third_ms))
        await until(lambda: FleetTime(third_ms) in tap.heard, "it came apart, and says the same")
    waited = {FleetTime(first_ms + 1), FleetTime(first_ms + 2)}
    assert not waited & set(tap.heard), "two that waited together are as one"


async def test_what_the_broker_had_kept_is_followed_but_tells_no_time(
    reader: Reader, fleet: Fleet, devices: Devices, tap: CardHalf
) -> None:
    data = devices.files[ADDRESS] = roster_file(reader)
    await fleet.desire(fleet.wish([wanted(data)], at_ms=1000))
    async with running_link(reader):
        await until(lambda: RosterCurrent(PASS, 3, 1000) in tap.heard, "followed")
    assert not [one for one in tap.heard if isinstance(one, FleetTime)]


async def test_sealed_keys_are_fetched_first(
    reader: Reader, fleet: Fleet, devices: Devices, tap: CardHalf
) -> None:
    data = devices.files[ADDRESS] = roster_file(reader)
    sealed = devices.files["/v1/keys"] = b"sealed" * 100
    async with running_link(reader):
        await tap.connected()
        sha256 = hashlib.sha256(sealed).digest()
        await fleet.desire(fleet.wish([wanted(data)], at_ms=1, keys=sha256))
        await until(lambda: in_place(reader) and KeysReady() in tap.heard, "both are there")
    assert (reader.state / KEYS).read_bytes() == sealed
    assert (reader.state / KEYS).stat().st_mode & 0o777 == 0o600
    assert devices.asked == ["/v1/keys", ADDRESS]


async def test_names_come_last_and_go_as_soon_as_they_are_not_wanted(
    reader: Reader, fleet: Fleet, devices: Devices, tap: CardHalf
) -> None:
    data = devices.files[ADDRESS] = roster_file(reader)
    sealed = devices.files["/v1/names"] = b"names" * 100
    sha256 = hashlib.sha256(sealed).digest()
    async with running_link(reader):
        await tap.connected()
        await fleet.desire(fleet.wish([wanted(data)], at_ms=1, names=sha256))
        await until(lambda: NamesReady() in tap.heard, "the card half is told")
        assert (reader.state / NAMES).read_bytes() == sealed
        assert (reader.state / NAMES).stat().st_mode & 0o777 == 0o600
        assert devices.asked == [ADDRESS, "/v1/names"]
        tap.say(msgspec.structs.replace(READY, names=sha256))
        tap.heard.clear()
        await fleet.desire(fleet.wish([wanted(data)], at_ms=2))
        await until(lambda: NamesReady() in tap.heard, "the card half is told again")
        assert not (reader.state / NAMES).exists()


async def test_names_that_were_not_wanted_any_more_go_at_the_start_too(
    reader: Reader, fleet: Fleet, devices: Devices, tap: CardHalf
) -> None:
    async with running_link(reader):
        await fleet.desire(fleet.wish([], at_ms=1))
        await until((reader.state / TWIN_FILE).exists, "followed")
    (reader.state / NAMES).write_bytes(b"left behind")
    async with running_link(reader):
        await until(lambda: not (reader.state / NAMES).exists(), "deleted")


async def test_no_newer_roster_comes_while_the_keys_that_it_may_need_do_not(
    reader: Reader, fleet: Fleet, devices: Devices
) -> None:
    data = devices.files[ADDRESS] = roster_file(reader)
    sealed = b"sealed" * 100
    async with running_link(reader):
        sha256 = hashlib.sha256(sealed).digest()
        await fleet.desire(fleet.wish([wanted(data)], at_ms=1, keys=sha256))
        await trouble(fleet, f"{KEYS}: HTTP 404")
        assert set(devices.asked) == {"/v1/keys"}
        assert in_place(reader) is None
        devices.files["/v1/keys"] = sealed
        await until(lambda: in_place(reader) == data, "both come, the keys first")
    assert (reader.state / KEYS).read_bytes() == sealed


async def test_a_replayed_or_foreign_desire_changes_nothing(
    reader: Reader, fleet: Fleet, devices: Devices
) -> None:
    old, new = roster_file(reader, 3), roster_file(reader, 4)
    devices.files = {ADDRESS: old, f"/v1/rosters/{PASS}/4": new}
    replayed = fleet.wish([wanted(old)], at_ms=1000)
    async with running_link(reader) as link:
        await until(lambda: link._board.online, "connected")
        await fleet.desire(fleet.wish([wanted(new, 4)], at_ms=2000))
        await until(lambda: in_place(reader) == new, "fetched")
        await fleet.desire(replayed)
        stranger = Signer(ed25519.Ed25519PrivateKey.generate())
        forged = TwinDesired(v=1, at_ms=9000, rosters=[wanted(old)])
        for audience in ("kazasu-shi/bus-1", "kazasu-shi/bus-2"):
            by = stranger if audience.endswith("1") else reader.fleet
            await fleet.desire(by.seal(Purpose.TWIN_DESIRED, audience, forged))
        counted = link._desk.meter._counters
        await until(lambda: counted["twin.not-signed"] == 2, "both are counted")
        assert counted["twin.repeated"] == 1
    async with running_link(reader) as link:  # nor after a restart
        await until(lambda: link._board.online, "connected")
        await fleet.desire(replayed)
        await until(lambda: link._desk.meter._counters["twin.repeated"], "counted")
    assert in_place(reader) == new
    assert devices.asked == [f"/v1/rosters/{PASS}/4"]


async def test_a_download_that_breaks_off_is_tried_again_and_leaves_nothing(
    reader: Reader, fleet: Fleet, devices: Devices
) -> None:
    data = devices.files[ADDRESS] = roster_file(reader)
    devices.cut_at = 100
    async with running_link(reader):
        await fleet.desire(fleet.wish([wanted(data)], at_ms=1))
        await trouble(fleet, f"{PASS}.roster: ")
        assert in_place(reader) is None
        devices.cut_at = None
        await until(lambda: in_place(reader) == data, "the second try")
        await until(lambda: fleet.reports[-1].trouble == "", "all is well")
    assert not list((reader.state / FOLDER).glob(f"*{PARTIAL}"))


async def test_what_is_wrong_is_said_in_a_sentence_and_the_former_roster_stays(
    reader: Reader, fleet: Fleet, devices: Devices, tap: CardHalf
) -> None:
    good = devices.files[ADDRESS] = roster_file(reader)
    stranger = Signer(ed25519.Ed25519PrivateKey.generate())
    bad: dict[int, tuple[bytes, RosterWanted, str]] = {}
    forged = roster_file(reader, 4, stranger)
    bad[4] = (forged, wanted(forged, 4), "signed by key")
    other = roster_file(reader, 3, rows=11)
    bad[5] = (other, wanted(other, 5), "version 3 came where 5 was wanted")
    bad[6] = (b"", wanted(b"", 6), "is empty")
    bad[7] = (roster_file(reader, 7), wanted(b"something else", 7), "another hash")
    cut = roster_file(reader, 8)[:-1]
    bad[8] = (cut, wanted(cut, 8), "cut short")
    async with running_link(reader):
        await fleet.desire(fleet.wish([wanted(good)], at_ms=1))
        await until(lambda: in_place(reader) == good, "the good one")
        for version, (data, wish, words) in bad.items():
            devices.files[f"/v1/rosters/{PASS}/{version}"] = data
            await fleet.desire(fleet.wish([wish], at_ms=version))
            await trouble(fleet, words)
            assert in_place(reader) == good
        await fleet.desire(fleet.wish([wanted(b"gone", 9)], at_ms=9))
        await trouble(fleet, "HTTP 404 not-found this place has no such roster")


async def test_what_has_changed_is_enough_when_it_makes_the_wanted_file(
    reader: Reader, fleet: Fleet, devices: Devices
) -> None:
    old, new = roster_file(reader, rows=10), roster_file(reader, 4, rows=12)
    devices.files[ADDRESS] = old
    address = f"/v1/rosters/{PASS}/4?from={named(old).hex()}"
    devices.deltas[address] = delta_of(old, new)
    async with running_link(reader):
        await fleet.desire(fleet.wish([wanted(old)], at_ms=1))
        await until(lambda: in_place(reader) == old, "the whole of the first")
        await fleet.desire(fleet.wish([wanted(new, 4)], at_ms=2))
        await until(lambda: in_place(reader) == new, "the second")
    assert devices.asked == [ADDRESS, address]
    assert len(devices.deltas[address]) < len(new)
    assert (reader.state / FOLDER / f"{PASS}.roster").stat().st_mode & 0o777 == 0o600
    assert not list((reader.state / FOLDER).glob(f"*{PARTIAL}"))


@pytest.mark.parametrize("harm", ["cut", "flip", "other", "forged", "version", "noise"])
async def test_what_has_changed_and_cannot_be_used_is_no_matter(
    reader: Reader, fleet: Fleet, devices: Devices, harm: str
) -> None:
    old, new = roster_file(reader), roster_file(reader, 4, rows=12)
    devices.files = {ADDRESS: old, f"/v1/rosters/{PASS}/4": new}
    stranger = Signer(ed25519.Ed25519PrivateKey.generate())
    good = delta_of(old, new)
    address = f"/v1/rosters/{PASS}/4?from={named(old).hex()}"
    devices.deltas[address] = {
        "cut": good[:-1],
        "flip": good[:-5] + bytes([good[-5] ^ 1]) + good[-4:],
        "other": delta_of(roster_file(reader, 2), new),
        "forged": delta_of(old, roster_file(reader, 4, stranger, rows=12)),
        "version": delta_of(old, roster_file(reader, 5, rows=12)),
        "noise": b"x" * 1000,
    }[harm]
    async with running_link(reader):
        await fleet.desire(fleet.wish([wanted(old)], at_ms=1))
        await until(lambda: in_place(reader) == old, "the first")
        await fleet.desire(fleet.wish([wanted(new, 4)], at_ms=2))
        await until(lambda: in_place(reader) == new, "the second, whole")
    assert devices.asked == [ADDRESS, address, f"/v1/rosters/{PASS}/4"]
    assert not list((reader.state / FOLDER).glob(f"*{PARTIAL}"))


async def test_a_held_roster_that_rotted_is_fetched_whole(
    reader: Reader, fleet: Fleet, devices: Devices
) -> None:
    data = devices.files[ADDRESS] = roster_file(reader)
    path = reader.state / FOLDER / f"{PASS}.roster"
    path.parent.mkdir(parents=True)
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    async with running_link(reader):
        await fleet.desire(fleet.wish([wanted(data)], at_ms=1))
        await until(lambda: in_place(reader) == data, "fetched anew")
    assert devices.asked == [ADDRESS]


async def test_more_bytes_than_allowed_are_not_read(
    reader: Reader, fleet: Fleet, devices: Devices
) -> None:
    sealed = devices.files["/v1/keys"] = b"x" * (KEYS_BYTES_MAX + 1)
    async with running_link(reader):
        await fleet.desire(fleet.wish([], at_ms=1, keys=hashlib.sha256(sealed).digest()))
        await trouble(fleet, "more than the 65536 bytes")
    assert not (reader.state / KEYS).exists()


async def test_a_programme_that_this_place_has_not_got_is_named(
    reader: Reader, fleet: Fleet, devices: Devices
) -> None:
    async with running_link(reader):
        await fleet.desire(fleet.wish([wanted(b"", 1, "taxi")], at_ms=1))
        await trouble(fleet, "not a programme of this reader: taxi")
    assert not devices.asked


async def test_half_downloaded_files_are_removed_at_the_start(reader: Reader) -> None:
    (reader.state / FOLDER).mkdir(parents=True)
    leftovers = [
        reader.state / FOLDER / f"{PASS}.roster{PARTIAL}",
        reader.state / f"{KEYS}{PARTIAL}",
    ]
    for path in leftovers:
        path.write_bytes(b"half")
    async with running_link(reader) as link:
        await until(lambda: link._board.online, "started")
        assert not any(path.exists() for path in leftovers)


async def test_a_damaged_memory_of_the_last_desire_is_begun_anew(
    reader: Reader, fleet: Fleet, devices: Devices
) -> None:
    reader.state.mkdir(parents=True)
    (reader.state / TWIN_FILE).write_bytes(b"{")
    data = devices.files[ADDRESS] = roster_file(reader)
    await fleet.desire(fleet.wish([wanted(data)], at_ms=1))
    async with running_link(reader):
        await until(lambda: in_place(reader) == data, "fetched all the same")


async def test_a_listener_of_another_authority_is_not_trusted(
    reader: Reader, fleet: Fleet, tmp_path: Path
) -> None:
    async with running_broker(tmp_path / "foreign") as foreign:
        devices = Devices(Reader(tmp_path / "foreign-bus", foreign, devices_port=1))
        devices.reader.devices_port = reader.devices_port
        await devices.open()
        data = devices.files[ADDRESS] = roster_file(reader)
        async with running_link(reader):
            await fleet.desire(fleet.wish([wanted(data)], at_ms=1))
            await trouble(fleet, "certificate verify failed")
        await devices.close()
    assert not devices.asked


def test_the_age_of_a_roster_counts_from_when_just_that_version_was_last_wanted() -> None:
    twin = Twin()
    assert twin.take(TwinDesired(v=1, at_ms=10_000, rosters=[wanted(b"", 3)]))
    assert twin.take(TwinDesired(v=1, at_ms=20_000, rosters=[wanted(b"", 3)]))
    assert twin.take(TwinDesired(v=1, at_ms=30_000, rosters=[wanted(b"", 4)]))
    assert not twin.take(TwinDesired(v=1, at_ms=30_000, rosters=[]))
    assert twin.held({PASS: 3}, 31_000)[0].age_s == 11
    assert twin.held({PASS: 4}, 31_000)[0].age_s == 1
    assert twin.held({PASS: 4}, 29_000)[0].age_s == 0


def test_both_halves_look_in_the_same_places() -> None:
    assert (tap_roster.FOLDER, tap_roster.KEYS) == (FOLDER, KEYS)


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"before")

    def fails_half_way() -> None:
        with replacing(path) as file:
            file.write(b"half")
            raise OSError("no space left")

    with pytest.raises(OSError, match="no space"):
        fails_half_way()
    assert path.read_bytes() == b"before"
    with replacing(path) as file:
        file.write(b"after")
    assert path.read_bytes() == b"after"
    assert [one.name for one in tmp_path.iterdir()] == ["x"]


def feed(reader: Reader, at_ms: int, made_ms: int) -> bytes:
    fed = [UsageWanted(PASS, made_ms)]
    desired = TwinDesired(v=1, at_ms=at_ms, rosters=[], usage=fed)
    return reader.fleet.seal(Purpose.TWIN_DESIRED, str(READER), desired)


USAGE_ADDRESS = f"/v1/usage/{PASS}"
RIDDEN = dict.fromkeys(range(100), 3)


def usage_in_place(reader: Reader) -> bytes | None:
    path = reader.state / FOLDER / f"{PASS}.usage"
    return path.read_bytes() if path.exists() else None


async def test_wanted_usage_is_fetched_a_newer_one_is_welcome_and_an_older_one_is_not(
    reader: Reader, fleet: Fleet, devices: Devices, tap: CardHalf
) -> None:
    newer = devices.files[USAGE_ADDRESS] = usage_file(reader, 5000, RIDDEN)
    async with running_link(reader):
        await tap.connected()
        await fleet.desire(feed(reader, 1000, 4000))
        await until(lambda: UsageReady(PASS) in tap.heard, "tap is told")
        assert usage_in_place(reader) == newer
        await fleet.desire(feed(reader, 2000, 5000))
        await until(lambda: FleetTime(2000) in tap.heard, "the wish is there")
        await fleet.desire(feed(reader, 3000, 6000))
        await trouble(fleet, "usage of 5000 came where 6000 was wanted")
        assert usage_in_place(reader) == newer
    asks = f"{USAGE_ADDRESS}?from={named_usage(newer).hex()}"
    assert devices.asked[:2] == [USAGE_ADDRESS, asks]


async def test_of_usage_too_what_has_changed_is_enough(
    reader: Reader, fleet: Fleet, devices: Devices, tap: CardHalf
) -> None:
    """Also after a restart: the file that lies there is known by its own rows."""
    old = devices.files[USAGE_ADDRESS] = usage_file(reader, 1000, RIDDEN)
    new = usage_file(reader, 2000, RIDDEN | {5: 4, 100: 1})
    address = f"{USAGE_ADDRESS}?from={named_usage(old).hex()}"
    delta = devices.deltas[address] = usage_delta_of(old, new)
    async with running_link(reader):
        await fleet.desire(feed(reader, 1, 1000))
        await until(lambda: usage_in_place(reader) == old, "the whole of the first")
    async with running_link(reader):
        await tap.connected()
        await fleet.desire(feed(reader, 2, 2000))
        await until(lambda: usage_in_place(reader) == new, "the second")
        await until(lambda: UsageReady(PASS) in tap.heard, "tap is told")
    assert devices.asked == [USAGE_ADDRESS, address]
    assert len(delta) < len(new) / 2
    assert not list((reader.state / FOLDER).glob(f"*{PARTIAL}"))


@pytest.mark.parametrize(
    "harm", ["cut", "flip", "grown", "other", "forged", "roster", "older", "noise"]
)
async def test_changed_usage_that_cannot_be_used_is_no_matter(
    reader: Reader, fleet: Fleet, devices: Devices, harm: str
) -> None:
    old = devices.files[USAGE_ADDRESS] = usage_file(reader, 1000, RIDDEN)
    after = RIDDEN | {5: 4, 100: 1}
    new = usage_file(reader, 2000, after)
    good = usage_delta_of(old, new)
    stranger = Signer(ed25519.Ed25519PrivateKey.generate())
    address = f"{USAGE_ADDRESS}?from={named_usage(old).hex()}"
    devices.deltas[address] = {
        "cut": good[:-1],
        "flip": good[:-5] + bytes([good[-5] ^ 1]) + good[-4:],
        "grown": good + b"0",
        "other": usage_delta_of(usage_file(reader, 500, {1: 1}), new),
        "forged": usage_delta_of(old, usage_file(reader, 2000, after, stranger)),
        "roster": delta_of(roster_file(reader), roster_file(reader, 4, rows=12)),
        "older": usage_delta_of(old, usage_file(reader, 1999, after)),
        "noise": b"x" * 1000,
    }[harm]
    async with running_link(reader):
        await fleet.desire(feed(reader, 1, 1000))
        await until(lambda: usage_in_place(reader) == old, "the first")
        devices.files[USAGE_ADDRESS] = new
        await fleet.desire(feed(reader, 2, 2000))
        await until(lambda: usage_in_place(reader) == new, "the second, whole")
    assert devices.asked == [USAGE_ADDRESS, address, USAGE_ADDRESS]
    assert not list((reader.state / FOLDER).glob(f"*{PARTIAL}"))


async def test_held_usage_that_rotted_is_fetched_whole(
    reader: Reader, fleet: Fleet, devices: Devices
) -> None:
    data = devices.files[USAGE_ADDRESS] = usage_file(reader, 1000, RIDDEN)
    path = reader.state / FOLDER / f"{PASS}.usage"
    path.parent.mkdir(parents=True)
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    async with running_link(reader):
        await fleet.desire(feed(reader, 1, 1000))
        await until(lambda: usage_in_place(reader) == data, "fetched anew")
    assert devices.asked == [USAGE_ADDRESS]
