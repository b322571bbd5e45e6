"""One connection to the broker, from the first word to the last: what the network half says on it.

Rules: before anything else the answers are subscribed to and the status is said · only what
the fleet has signed is believed, the rest is counted · the broker's answer to a publish means
nothing but its refusals · the status that stays behind says «offline», by our own last word or by
the will that the broker holds.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Final

import msgspec

from edge.desk import Desk
from edge.panel import Acknowledged, FleetTime
from edge.uplink import Heard
from wire.clock import ClockState
from wire.desk import DeskRequest
from wire.envelope import MessageRefused, Purpose, open_envelope
from wire.messages import Ack, Batch, Status, TwinDesired, TwinReported
from wire.mqtt import Connection, Message, MqttError, MqttRefused, Will
from wire.topics import Leaf, topic

RECEIVE_MAXIMUM: Final = 20
"""Unacknowledged messages from the broker: an answer and a desired state are one each."""
POLL_S: Final = 5.0
"""The journal is looked at this often even when `tap` says nothing: its line may be down."""
STATUS_EVERY_S: Final = 15.0
"""Counts in the status may be this old; what riders feel is said at once."""
STATUS_PAUSE_S: Final = 1.0
"""Between two statuses, so that a loose cable does not become a flood."""
ROUND_TRIP_S_MAX: Final = 2.0
"""An answer that took longer is not taken for the present time (edge.panel.FleetTime)."""
WAITED_MS_MIN: Final = 1_000
"""By so much a wish may show an earlier time than ours before it counts as one that waited; two
that waited equally long, to the second, are not thought of."""
FAREWELL_S: Final = 2.0
"""For the last status before the connection is closed."""

_log = logging.getLogger(__name__)


class Session:
    """One connection. `run` ends with MqttError, or when it is cancelled."""

    def __init__(self, desk: Desk, alive: Callable[[], None]) -> None:
        """`alive` is told of each round of the loop that sends entries."""
        self._desk, self._alive = desk, alive
        self._said: Status | None = None
        self._said_s = 0.0
        self._unbelieved: tuple[int, float] | None = None
        """By how many ms the last wish showed an earlier time than ours, and when it came (s)."""
        will = Will(
            self._topic(Leaf.STATUS), self._seal(Purpose.STATUS, desk.make_status(online=False))
        )
        self._connection = Connection(desk.identity.broker, will, RECEIVE_MAXIMUM)

    async def run(self) -> None:
        """Connect and talk until the connection is lost. Raises MqttError."""
        desk, connection = self._desk, self._connection
        desk.identity.check_dates(desk.clock.machine_is_plausible())
        await connection.open()
        try:
            await connection.subscribe(self._topic(Leaf.ACK), self._topic(Leaf.TWIN_DESIRED))
            await self._listen_for_desks()
            await self._say_status()
            desk.uplink.connected()
            desk.board.reach(True)
            await self._talk()
        finally:
            desk.uplink.disconnected()
            desk.board.reach(False)
            await self._farewell()

    async def _listen_for_desks(self) -> None:
        """Hear what desks ask; a broker whose rules are older denies that, and only that."""
        try:
            await self._connection.subscribe(self._topic(Leaf.COMMAND))
        except MqttRefused as error:
            self._desk.meter.count("command.denied")
            _log.warning("%s", error)

    async def _talk(self) -> None:
        desk = self._desk
        for event in (desk.entries, desk.status, desk.reported, desk.outbox):
            event.set()
        parts = (
            self._listen,
            self._send_entries,
            self._send_statuses,
            self._send_reports,
            self._send_outbox,
            self._watch,
        )
        tasks = [asyncio.ensure_future(part()) for part in parts]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _watch(self) -> None:
        await self._connection.closed.wait()
        raise MqttError(self._connection.why_closed)

    async def _farewell(self) -> None:
        """Leave an honest status behind when there is still a way to say it, and close."""
        with contextlib.suppress(MqttError, TimeoutError):
            if not self._connection.closed.is_set():
                status = self._seal(Purpose.STATUS, self._desk.make_status(online=False))
                async with asyncio.timeout(FAREWELL_S):
                    await self._connection.publish(self._topic(Leaf.STATUS), status, retain=True)
        await self._connection.close()

    # what is heard

    async def _listen(self) -> None:
        while True:
            message = await self._connection.messages.get()
            if message.topic == self._topic(Leaf.ACK):
                self._hear_ack(message)
            elif message.topic == self._topic(Leaf.TWIN_DESIRED):
                self._hear_twin(message)
            elif message.topic == self._topic(Leaf.COMMAND):
                self._hear_command(message)
            self._connection.acknowledge(message)

    def _hear_ack(self, message: Message) -> None:
        desk = self._desk
        identity = desk.identity
        try:
            ack = open_envelope(
                message.payload, Purpose.ACK, str(identity.name), identity.fleet_key, Ack
            )
        except MessageRefused as error:
            desk.meter.count(f"uplink.ack-{error.reason}")
            return
        heard = desk.uplink.hear(ack, desk.shelf.known(), desk.now_s())
        if heard in (Heard.ANSWER, Heard.PROGRESS):
            desk.board.say(Acknowledged(ack.journal, desk.uplink.marks.of(ack.journal)))
            desk.count_waiting()
            desk.board.changed()
            desk.status.set()
        quick = (desk.uplink.round_trip_s or 0.0) <= ROUND_TRIP_S_MAX
        if heard is Heard.ANSWER and quick:
            self._agree(ack.at_ms)
        desk.entries.set()

    def _hear_twin(self, message: Message) -> None:
        desk = self._desk
        identity = desk.identity
        try:
            desired = open_envelope(
                message.payload,
                Purpose.TWIN_DESIRED,
                str(identity.name),
                identity.fleet_key,
                TwinDesired,
            )
        except MessageRefused as error:
            desk.meter.count(f"twin.{error.reason}")
            return
        if not desk.pull.desire(desired):
            desk.meter.count("twin.repeated")
            return
        if not message.retained:
            self._agree_if_prompt(desired.at_ms)
            desk.uplink.encourage(desk.now_s())
            desk.entries.set()
        self._said = None  # the rosters' ages have changed
        desk.status.set()

    def _hear_command(self, message: Message) -> None:
        """Hear what a desk asks; one that was kept for somebody else or for later is not for us."""
        desk = self._desk
        name, key = str(desk.identity.name), desk.identity.fleet_key
        try:
            request = open_envelope(message.payload, Purpose.DESK_REQUEST, name, key, DeskRequest)
        except MessageRefused as error:
            desk.meter.count(f"command.{error.reason}")
            return
        if not desk.requests.hear(request):
            desk.meter.count("command.repeated")

    def _agree_if_prompt(self, fleet_ms: int) -> None:
        """Take a time that came one way, unless it may have waited on the way, as in a tunnel.

        What waited shows an earlier time, never a later one: so an earlier one is taken only when
        another, which did not come in the same moment, says the same, or while nobody has told the
        time yet.
        """
        ahead_ms = self._desk.clock.now_ms() - fleet_ms
        told = self._desk.clock.state is ClockState.SYNCHRONISED
        former, self._unbelieved = self._unbelieved, None
        if told and ahead_ms > WAITED_MS_MIN:
            now_s = self._desk.now_s()
            former_ms, former_s = former or (0, now_s)
            apart = (now_s - former_s) * 1000 > WAITED_MS_MIN
            if not apart or abs(ahead_ms - former_ms) > WAITED_MS_MIN:
                self._unbelieved = former if former and not apart else (ahead_ms, now_s)
                return
        self._agree(fleet_ms)

    def _agree(self, fleet_ms: int) -> None:
        """Take the fleet's signed time, in both halves."""
        self._desk.clock.take_fleet_time(fleet_ms)
        self._desk.board.say(FleetTime(fleet_ms))

    # what is said

    async def _send_entries(self) -> None:
        desk, uplink = self._desk, self._desk.uplink
        while True:
            self._alive()
            desk.entries.clear()
            uplink.tick(desk.now_s())
            batch = uplink.take(desk.shelf.views(), desk.now_s())
            for name in list(uplink.counters):
                desk.meter.count(name, uplink.counters.pop(name))
            if batch:
                await self._send(batch)
                continue
            due_s = uplink.wake_s()
            wait_s = POLL_S if due_s is None else min(POLL_S, max(0.0, due_s - desk.now_s()))
            await _set_within(desk.entries, wait_s)

    async def _send(self, batch: Batch) -> None:
        try:
            await self._publish(Leaf.ENTRIES, self._seal(Purpose.BATCH, batch))
        except MqttRefused as error:
            _log.warning("%s", error)
            self._desk.uplink.refused(self._desk.now_s())

    async def _send_statuses(self) -> None:
        """Say what riders feel at once, and counts every now and then."""
        desk = self._desk
        while True:
            await _set_within(desk.status, STATUS_EVERY_S)
            desk.status.clear()
            desk.count_waiting()
            status, said = desk.make_status(online=True), self._said
            due = desk.now_s() - self._said_s >= STATUS_EVERY_S
            urgent = said is None or _felt(status) != _felt(said)
            if urgent or (due and _counts(status) != _counts(said)):
                await self._say_status()
                await asyncio.sleep(STATUS_PAUSE_S)

    async def _say_status(self) -> None:
        status = self._desk.make_status(online=True)
        await self._publish(Leaf.STATUS, self._seal(Purpose.STATUS, status), retain=True)
        self._said, self._said_s = status, self._desk.now_s()

    async def _send_reports(self) -> None:
        desk, said = self._desk, None
        while True:
            await desk.reported.wait()
            desk.reported.clear()
            report = desk.make_report()
            if said is None or _report_core(report) != _report_core(said):
                payload = self._seal(Purpose.TWIN_REPORTED, report)
                await self._publish(Leaf.TWIN_REPORTED, payload, retain=True)
                said = report
                await asyncio.sleep(STATUS_PAUSE_S)

    async def _send_outbox(self) -> None:
        """Send answers to a desk, strangers' cards and minutes of telemetry.

        What the broker refuses is dropped.
        """
        desk = self._desk
        while True:
            await desk.outbox.wait()
            desk.outbox.clear()
            while desk.requests.answers:
                answer = desk.requests.answers.popleft()
                payload = self._seal(Purpose.DESK_ANSWER, answer)
                await self._offer(Leaf.COMMAND_RESULT, payload)
            while desk.triage:
                await self._offer(Leaf.TRIAGE, self._seal(Purpose.TRIAGE, desk.triage.popleft()))
            while desk.meter.waiting:
                minute = desk.meter.waiting[0]
                await self._offer(Leaf.TELEMETRY, self._seal(Purpose.TELEMETRY, minute))
                if desk.meter.waiting and desk.meter.waiting[0] is minute:
                    desk.meter.waiting.popleft()

    async def _offer(self, leaf: Leaf, payload: bytes) -> None:
        try:
            await self._publish(leaf, payload)
        except MqttRefused as error:
            self._desk.meter.count(f"{leaf}.refused")
            _log.warning("%s", error)

    async def _publish(self, leaf: Leaf, payload: bytes, *, retain: bool = False) -> None:
        await self._connection.publish(self._topic(leaf), payload, retain=retain)

    def _seal(self, purpose: Purpose, body: msgspec.Struct) -> bytes:
        identity = self._desk.identity
        return identity.signer.seal(purpose, str(identity.name), body)

    def _topic(self, leaf: Leaf) -> str:
        return topic(self._desk.identity.name, leaf)


async def _set_within(event: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()


def _felt(status: Status) -> object:
    """Return what of a status a rider or an operator feels."""
    versions = [(held.programme, held.version) for held in status.rosters]
    return status.ready, status.trouble, status.front_end, versions


def _counts(status: Status | None) -> object:
    return (status.journal, status.n, status.waiting) if status else None


def _report_core(report: TwinReported) -> object:
    versions = [(held.programme, held.version) for held in report.rosters]
    return versions, report.keys, report.trouble
