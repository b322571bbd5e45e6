"""Orders to a demo that runs: taken, answered, refused with a sentence; nobody else's folder."""

import asyncio
from pathlib import Path

import pytest

from hw.sim import control
from hw.sim.control import Answer, NoDemo, Order, send, serve, socket_path


@pytest.fixture(autouse=True)
def own_runtime_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))


async def obey(order: Order) -> Answer:
    return Answer(done=order.name == "bus-2", said=f"{order.do} {order.name} {order.seconds}")


async def test_an_order_reaches_the_demo_and_its_answer_comes_back() -> None:
    async with await serve(socket_path(1), obey):
        answer = await asyncio.to_thread(send, Order("cut", "bus-2", 30))
    assert answer == Answer(done=True, said="cut bus-2 30.0")


async def test_a_card_may_be_held_for_longer_than_other_answers_take(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(control, "ANSWER_S_MAX", 0.5)

    async def hold(order: Order) -> Answer:
        await asyncio.sleep(0.8)
        return Answer(done=True, said=f"held {order.card} at {order.name}")

    async with await serve(socket_path(1), hold):
        answer = await asyncio.to_thread(send, Order("hold", "desk-1", 60.0, "hanako"))
    assert answer.said == "held hanako at desk-1"


async def test_without_a_demo_the_sentence_says_what_to_do() -> None:
    with pytest.raises(NoDemo, match=control.NONE_RUNS):
        send(Order("kill", "bus-2"))


async def test_a_socket_that_a_broken_demo_left_behind_is_passed_over() -> None:
    server = await serve(socket_path(1), obey)
    server.close()
    await server.wait_closed()
    assert socket_path(1).exists()
    with pytest.raises(NoDemo):
        send(Order("kill", "bus-2"))


async def test_of_two_demos_one_must_be_named() -> None:
    async with await serve(socket_path(1), obey), await serve(socket_path(2), obey):
        with pytest.raises(NoDemo, match=r"--pid \(1, 2\)"):
            await asyncio.to_thread(send, Order("kill", "bus-2"))
        assert (await asyncio.to_thread(send, Order("kill", "bus-2"), 2)).done


async def test_what_is_no_order_is_answered_with_a_sentence() -> None:
    async with await serve(socket_path(1), obey):
        reader, writer = await asyncio.open_unix_connection(socket_path(1))
        writer.write(b'{"do":"format","name":"disk"}\n')
        assert b"not understood" in await reader.readline()
        writer.close()


def test_a_folder_that_others_may_enter_is_not_used(tmp_path: Path) -> None:
    control.runtime_folder().chmod(0o777)
    with pytest.raises(PermissionError):
        control.runtime_folder()
