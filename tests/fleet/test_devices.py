import asyncio
import hashlib
import json
import ssl
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from yarl import URL

from fleet import devices, gate_names, usage_rows
from fleet.books import read_signing_key
from fleet.gate_names import NameSealer
from fleet.grants import Role
from fleet.sealing import Sealer
from fleet.store import open_fleet, open_persons
from provisioning.local import make_local
from tests.edge.link_kit import named, named_usage
from tests.fleet.test_intake import status
from tests.fleet.test_reconcile import build
from tests.fleet.virtual import NOON_MS, VirtualFleet, add_member, bus, make_fleet, pinned_key
from wire.clock import SystemClock
from wire.credential import Credential
from wire.entries import Used
from wire.envelope import Purpose, Signer, open_envelope
from wire.messages import TwinDesired
from wire.release import VERSION
from wire.roster import ROSTER, ROW, Roster
from wire.rows_delta import Base, apply_delta
from wire.seal import open_names
from wire.topics import Leaf
from wire.usage import USAGE, UsageHeader, UsageRow, pack_usage, row_bytes, sign_usage

OTHER = bus("school-1")


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[VirtualFleet]:
    school = msgspec.structs.replace(
        OTHER, kind="school", programmes=["attendance"], organisation="kita-sho"
    )
    made = make_fleet(tmp_path, [bus("bus-1"), school])
    table = tmp_path / "attendance.json"
    table.write_text(
        json.dumps({"version": "attendance/1", "valid_from": "2026-04-01", "parameters": {}})
    )
    assert made.command("rules", "add", "attendance", str(table)) == 0
    add_member(made, "1")
    build(made)
    yield made
    made.close()


@asynccontextmanager
async def listening(fleet: VirtualFleet) -> AsyncIterator[str]:
    task = asyncio.create_task(devices.serve(fleet.config))
    url = f"https://127.0.0.1:{fleet.config.devices_port}"
    try:
        async with asyncio.timeout(10):
            while not await answers(fleet.config.devices_port):
                assert not task.done(), task.exception()
                await asyncio.sleep(0.02)
        yield url
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def answers(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


def as_reader(fleet: VirtualFleet, name: str) -> aiohttp.TCPConnector:
    home = fleet.town.folder / "readers" / name
    context = ssl.create_default_context(cafile=str(home / "authority.pem"))
    context.load_cert_chain(home / "reader.pem", home / "reader.key")
    return aiohttp.TCPConnector(ssl=context)


async def test_a_reader_gets_the_roster_of_its_place_and_its_keys(fleet: VirtualFleet) -> None:
    async with (
        listening(fleet) as url,
        aiohttp.ClientSession(connector=as_reader(fleet, "bus-1")) as session,
    ):
        async with session.get(f"{url}/v1/rosters/senior-pass/1") as answer:
            assert answer.status == 200
            path = fleet.config.state_folder / "got.roster"
            path.write_bytes(await answer.read())
        async with session.get(f"{url}/v1/keys") as answer:
            keys = await answer.read()
    key = pinned_key(fleet.town)
    roster = Roster.open(path, fleet.config.tenant, "senior-pass", "bus-1", key)
    assert len(roster) == 1
    roster.close()
    ((digest, wanted),) = fleet.rows(
        "select keys_sha256, keys_sealed from reader where place = 'bus-1'"
    )
    assert (hashlib.sha256(keys).digest(), keys) == (digest, wanted)


async def test_a_reader_that_holds_a_roster_gets_what_has_changed(
    fleet: VirtualFleet, tmp_path: Path
) -> None:
    for number in range(2, 60):
        add_member(fleet, str(number))
    build(fleet)
    add_member(fleet, "60")
    build(fleet)
    held, delta, made = (tmp_path / name for name in ("held", "delta", "made"))
    address = "/v1/rosters/senior-pass"
    async with (
        listening(fleet) as url,
        aiohttp.ClientSession(connector=as_reader(fleet, "bus-1")) as session,
    ):
        held.write_bytes(await got(session, f"{url}{address}/2"))
        whole = await got(session, f"{url}{address}/3")
        query = f"?from={named(held.read_bytes()).hex()}"
        async with session.get(f"{url}{address}/3{query}") as answer:
            assert answer.content_type == ROSTER.delta_type
            assert answer.headers["ETag"] == f'"{named(whole).hex()}"'
            delta.write_bytes(await answer.read())
        unknown = await got(session, f"{url}{address}/3?from={'ab' * 32}")
        rows = fleet.config.state_folder / "rosters" / "senior-pass"
        for path in rows.iterdir():
            if path.name != f"{hashlib.sha256(whole[-60 * ROW.size :]).hexdigest()}.rows":
                path.unlink()
        first = await got(session, f"{url}{address}/1")
        assert b"not-found" in first
        async with session.get(f"{url}{address}/3?from=x") as answer:
            assert answer.status == 400
    with made.open("wb") as file:
        apply_delta(Base(held, named(held.read_bytes()), ROW.size), delta, file, ROSTER)
    assert made.read_bytes() == whole == unknown
    assert delta.stat().st_size < len(whole) - 50 * ROW.size


async def test_where_most_has_changed_the_whole_roster_is_sent(fleet: VirtualFleet) -> None:
    for number in range(2, 10):
        add_member(fleet, str(number))
    build(fleet)
    address = "/v1/rosters/senior-pass"
    async with (
        listening(fleet) as url,
        aiohttp.ClientSession(connector=as_reader(fleet, "bus-1")) as session,
    ):
        held = await got(session, f"{url}{address}/1")
        async with session.get(f"{url}{address}/2?from={named(held).hex()}") as answer:
            assert answer.content_type == "application/octet-stream"
            assert await answer.read() == await got(session, f"{url}{address}/2")


async def got(session: aiohttp.ClientSession, address: str) -> bytes:
    async with session.get(address) as answer:
        return await answer.read()


@pytest.mark.parametrize(
    "path",
    [
        "/v1/rosters/attendance/1",
        "/v1/rosters/senior-pass/2",
        "/v1/rosters/senior-pass/0x1",
        "/v1/rosters/senior-pass/" + "9" * 40,
        "/v1/rosters/..%2f..%2ffleet.db/1",
        "/v1/rosters/nothing/1",
        "/v2/anything",
    ],
)
async def test_what_is_not_of_its_place_is_not_there(fleet: VirtualFleet, path: str) -> None:
    async with (
        listening(fleet) as url,
        aiohttp.ClientSession(connector=as_reader(fleet, "bus-1")) as session,
        session.get(URL(url + path, encoded=True)) as answer,
    ):
        assert answer.status == 404
        assert await answer.json() == {
            "error": "not-found",
            "hint": "ask for what twin/desired names",
        }


async def test_a_gate_gets_the_names_that_its_wish_names_and_nobody_else_does(
    fleet: VirtualFleet,
) -> None:
    office, people = (
        opened(fleet.config.databases, Role.OFFICE) for opened in (open_fleet, open_persons)
    )
    with office.write() as connection:
        gate_names.choose(connection, "school-1", shown=True, who="kyoto", at_ms=NOON_MS)
    sealer = NameSealer(office, people, Sealer(bytes(32)))
    assert sealer.seal_due(NOON_MS) == ["kazasu-shi/school-1"]
    office.close()
    people.close()
    gate = fleet.reader("school-1")
    said = status(agent=f"kazasu-edge {VERSION}", rosters=[])
    fleet.hear(gate.say(Purpose.STATUS, said, Leaf.STATUS))
    (letter,) = fleet.dispatch.twins([gate.name])
    key = pinned_key(fleet.town)
    wish = open_envelope(letter.payload, Purpose.TWIN_DESIRED, gate.name, key, TwinDesired)
    async with (
        listening(fleet) as url,
        aiohttp.ClientSession(connector=as_reader(fleet, "school-1")) as session,
        aiohttp.ClientSession(connector=as_reader(fleet, "bus-1")) as other,
    ):
        async with session.get(f"{url}/v1/names") as answer:
            sealed = await answer.read()
            assert answer.headers["Cache-Control"] == "no-store"
        async with other.get(f"{url}/v1/names") as answer:
            assert answer.status == 404
    assert wish.names == hashlib.sha256(sealed).digest()
    pem = (fleet.town.folder / "readers" / "school-1" / "sealing.key").read_bytes()
    own = load_pem_private_key(pem, None)
    assert isinstance(own, ec.EllipticCurvePrivateKey)
    assert open_names(sealed, gate.name, own).programme == "attendance"


async def test_a_revoked_certificate_is_refused_at_the_next_request(fleet: VirtualFleet) -> None:
    async with (
        listening(fleet) as url,
        aiohttp.ClientSession(connector=as_reader(fleet, "bus-1")) as session,
    ):
        async with session.get(f"{url}/v1/keys") as answer:
            assert answer.status == 200
        assert fleet.command("readers", "revoke", "kazasu-shi/bus-1", "stolen") == 0
        for path in ("/v1/keys", "/v1/rosters/senior-pass/1"):
            async with session.get(url + path) as answer:
                assert answer.status == 403
                assert (await answer.json())["error"] == "not-enrolled"
        # Taking the same registry in again does not bring it back.
        registry = str(fleet.town.folder / "fleet" / "registry.json")
        assert fleet.command("readers", "import", registry) == 0
        async with session.get(f"{url}/v1/keys") as answer:
            assert answer.status == 403


async def test_no_certificate_and_another_root_get_no_connection(
    fleet: VirtualFleet, tmp_path: Path
) -> None:
    root = str(fleet.town.folder / "authority" / "root.pem")
    nobody = ssl.create_default_context(cafile=root)
    other = tmp_path / "other"
    make_local(other, fleet.town.town, SystemClock())
    stranger = ssl.create_default_context(cafile=root)
    home = other / "readers" / "bus-1"
    stranger.load_cert_chain(home / "reader.pem", home / "reader.key")
    async with listening(fleet) as url:
        for context in (nobody, stranger):
            connector = aiohttp.TCPConnector(ssl=context)
            async with aiohttp.ClientSession(connector=connector) as session:
                with pytest.raises(aiohttp.ClientError):
                    async with session.get(f"{url}/v1/keys"):
                        pass


DAY_AND_YEAR = ["2026", "2026-06-03"]
RIDDEN = dict.fromkeys(range(100), 3)
USAGE_ADDRESS = "/v1/usage/senior-pass"


def tell(
    fleet: VirtualFleet,
    at_ms: int,
    rides: dict[int, int],
    programme: str = "senior-pass",
    places: tuple[str, ...] = ("bus-1",),
    periods: Sequence[str] = DAY_AND_YEAR,
) -> list[bytes]:
    """Keep one snapshot as the fleet does; return the whole file of each place."""
    by = Signer(read_signing_key(fleet.config.signing_key))
    rows = [UsageRow(Credential(f"{n:032x}"), {"2026": Used(times)}) for n, times in rides.items()]
    packed = pack_usage(rows, periods)
    sha256 = hashlib.sha256(packed).digest()
    here = {"programme": programme, "at_ms": at_ms, "rows": len(rows)}
    heads = [
        sign_usage(
            UsageHeader(1, programme, place, at_ms, [*periods], {}, len(rows), sha256),
            fleet.config.tenant,
            by,
        )
        for place in places
    ]
    with fleet.store.write() as connection:
        usage_rows.keep(
            connection,
            here | {"sha256": sha256, "periods": periods, "packed": packed},
            [
                here | {"place": place, "head": head, "rows_sha256": sha256}
                for place, head in zip(places, heads, strict=True)
            ],
        )
    return [head + packed for head in heads]


def asking(held: bytes) -> str:
    return f"{USAGE_ADDRESS}?from={named_usage(held).hex()}"


async def test_a_reader_gets_the_usage_of_its_own_place_and_programmes(
    fleet: VirtualFleet,
) -> None:
    (told,) = tell(fleet, 1, RIDDEN)
    tell(fleet, 1, RIDDEN, "attendance", ("school-1",))
    async with (
        listening(fleet) as url,
        aiohttp.ClientSession(connector=as_reader(fleet, "bus-1")) as session,
    ):
        assert await got(session, url + USAGE_ADDRESS) == told
        for other in ("attendance", "taxi", "%2e%2e"):
            async with session.get(f"{url}/v1/usage/{other}") as answer:
                assert answer.status == 404
    async with (
        listening(fleet) as url,
        aiohttp.ClientSession(connector=as_reader(fleet, "school-1")) as session,
        session.get(url + USAGE_ADDRESS) as answer,
    ):
        assert answer.status == 404


async def test_a_reader_that_holds_usage_gets_what_has_changed(
    fleet: VirtualFleet, tmp_path: Path
) -> None:
    """Its size is that of the changes; merged into what is held it is the very file."""
    (first,) = tell(fleet, 1, RIDDEN)
    (second,) = tell(fleet, 2, RIDDEN | {7: 4})
    (third,) = tell(fleet, 3, RIDDEN | {7: 4, 100: 1})
    held, delta, made = (tmp_path / name for name in ("held", "delta", "made"))
    async with (
        listening(fleet) as url,
        aiohttp.ClientSession(connector=as_reader(fleet, "bus-1")) as session,
    ):
        for former, rows in ((first, 2), (second, 1), (third, 0)):
            async with session.get(url + asking(former)) as answer:
                assert answer.content_type == USAGE.delta_type
                delta.write_bytes(await answer.read())
            head = len(third) - 101 * row_bytes(DAY_AND_YEAR)
            assert delta.stat().st_size == 55 + head + rows * row_bytes(DAY_AND_YEAR)
            held.write_bytes(former)
            base = Base(held, named_usage(former), row_bytes(DAY_AND_YEAR))
            with made.open("wb") as file:
                apply_delta(base, delta, file, USAGE)
            assert made.read_bytes() == third
        assert await got(session, url + USAGE_ADDRESS) == third


async def test_of_usage_the_whole_is_sent_where_a_day_has_begun_or_nothing_is_known(
    fleet: VirtualFleet,
) -> None:
    (held,) = tell(fleet, 1, RIDDEN)
    (told,) = tell(fleet, 2, RIDDEN | {7: 4}, periods=["2026", "2026-06-04"])
    (strange,) = tell(fleet, 2, {1: 1}, "attendance", ("school-1",))
    async with (
        listening(fleet) as url,
        aiohttp.ClientSession(connector=as_reader(fleet, "bus-1")) as session,
    ):
        for address in (USAGE_ADDRESS, f"{USAGE_ADDRESS}?from=", asking(held), asking(strange)):
            async with session.get(url + address) as answer:
                assert answer.content_type == "application/octet-stream"
                assert await answer.read() == told
        for wrong in ("x", "ab", "AB" * 32):
            async with session.get(f"{url}{USAGE_ADDRESS}?from={wrong}") as answer:
                assert answer.status == 400
                assert (await answer.json())["error"] == "bad-from"


async def test_most_of_the_usage_is_sent_whole(fleet: VirtualFleet) -> None:
    (held,) = tell(fleet, 1, RIDDEN)
    (told,) = tell(fleet, 2, dict.fromkeys(RIDDEN, 4))
    async with (
        listening(fleet) as url,
        aiohttp.ClientSession(connector=as_reader(fleet, "bus-1")) as session,
    ):
        assert await got(session, url + asking(held)) == told
