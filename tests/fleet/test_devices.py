import asyncio
import hashlib
import json
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import msgspec
import pytest
from yarl import URL

from fleet import devices
from fleet.schema import usage_file
from provisioning.local import make_local
from tests.edge.link_kit import named
from tests.fleet.test_reconcile import build
from tests.fleet.virtual import VirtualFleet, add_member, bus, make_fleet, pinned_key
from wire.clock import SystemClock
from wire.roster import ROSTER, ROW, Roster
from wire.rows_delta import Base, apply_delta

OTHER = bus("school-1")


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[VirtualFleet]:
    school = msgspec.structs.replace(OTHER, kind="school", programmes=["attendance"])
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


async def test_a_reader_gets_the_usage_of_its_own_place_and_programmes(
    fleet: VirtualFleet,
) -> None:
    with fleet.store.write() as connection:
        for programme, place in (("senior-pass", "bus-1"), ("attendance", "school-1")):
            row = {"programme": programme, "place": place, "at_ms": 1, "rows": 0, "file": b"told"}
            connection.execute(usage_file.insert(), row)
    async with (
        listening(fleet) as url,
        aiohttp.ClientSession(connector=as_reader(fleet, "bus-1")) as session,
    ):
        assert await got(session, f"{url}/v1/usage/senior-pass") == b"told"
        for other in ("attendance", "taxi", "%2e%2e"):
            async with session.get(f"{url}/v1/usage/{other}") as answer:
                assert answer.status == 404
    async with (
        listening(fleet) as url,
        aiohttp.ClientSession(connector=as_reader(fleet, "school-1")) as session,
        session.get(f"{url}/v1/usage/senior-pass") as answer,
    ):
        assert answer.status == 404
