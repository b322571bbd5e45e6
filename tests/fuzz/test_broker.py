"""A reader with a valid certificate that misbehaves at the broker keeps no other from the fleet."""

import asyncio
import contextlib
from pathlib import Path

import pytest

from tests.real import make_town, start_mosquitto
from wire.mqtt import Connection, MqttError, MqttRefused
from wire.topics import Leaf, every_reader, parse_reader, topic

BURST = 10_000
THIEF, HONEST = (parse_reader(f"kazasu-shi/{name}") for name in ("bus-1", "bus-2"))


async def flood(thief: Connection) -> None:
    """Say more than anybody can take, and leave marks where others look."""
    entries, status = topic(THIEF, Leaf.ENTRIES), topic(THIEF, Leaf.STATUS)
    with contextlib.suppress(MqttError):
        for _ in range(BURST // 100):
            said = [thief.publish(entries, b"x" * 200) for _ in range(98)]
            said.append(thief.publish(status, b"junk", retain=True))
            said.append(thief.publish(status, b"", retain=True))
            await asyncio.gather(*said)


async def hear(fleet: Connection, junk: asyncio.Event) -> None:
    """Take messages as ingest does until the honest one is there; say when the flood is."""
    count = 0
    while True:
        message = await fleet.messages.get()
        fleet.acknowledge(message)
        count += 1
        if count >= 1_000:
            junk.set()
        if message.payload == b"honest":
            return


async def test_a_flood_of_one_reader_stops_no_other(tmp_path: Path) -> None:
    town = make_town(tmp_path / "town", "bus-1", "bus-2")
    with start_mosquitto(town.folder / "broker") as broker:
        thief, honest, fleet = (
            town.reader("bus-1", broker),
            town.reader("bus-2", broker),
            town.fleet(broker),
        )
        for one in (thief, honest, fleet):
            await one.open()
        await fleet.subscribe(every_reader(Leaf.ENTRIES), every_reader(Leaf.STATUS))
        with contextlib.suppress(MqttRefused):
            await thief.subscribe("#")  # mosquitto may agree to it, and then delivers nothing
        with pytest.raises(MqttRefused):
            await thief.publish(topic(HONEST, Leaf.STATUS), b"", retain=True)
        flooding = asyncio.create_task(flood(thief))
        junk = asyncio.Event()
        hearing = asyncio.create_task(hear(fleet, junk))
        async with asyncio.timeout(30):
            await junk.wait()
            while not hearing.done():  # said again until it is heard, as readers do
                await honest.publish(topic(HONEST, Leaf.ENTRIES), b"honest")
                await asyncio.wait({hearing}, timeout=0.2)
        flooding.cancel()
        await asyncio.gather(flooding, return_exceptions=True)
        while not thief.messages.empty():
            assert str(HONEST) not in thief.messages.get_nowait().topic
        for one in (thief, honest, fleet):
            await one.close()
