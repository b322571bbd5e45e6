"""What readers say to the fleet: whatever a stolen reader sends, nothing fails and nobody waits."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fleet.virtual import NOON_MS, Journal, VirtualFleet, VirtualReader
from tests.fuzz import hostile
from tests.fuzz.hostile import GARBAGE, changed, examples, sealed
from wire.codes import Code
from wire.credential import Scheme
from wire.desk import DeskAnswer, DeskSaid
from wire.envelope import Purpose
from wire.messages import Status, Telemetry, Triage, TwinReported
from wire.mqtt import Message
from wire.topics import Leaf

BODIES = {
    Leaf.ENTRIES: (Purpose.BATCH, hostile.batch_body("kazasu-shi/desk-1")),
    Leaf.STATUS: (Purpose.STATUS, hostile.status_body()),
    Leaf.TELEMETRY: (Purpose.TELEMETRY, hostile.telemetry_body()),
    Leaf.TRIAGE: (Purpose.TRIAGE, hostile.triage_body()),
    Leaf.TWIN_REPORTED: (Purpose.TWIN_REPORTED, hostile.reported_body()),
    Leaf.COMMAND_RESULT: (Purpose.DESK_ANSWER, hostile.desk_body()),
}
GROUPS = 40


@dataclass
class Scene:
    """A thief with the key of the desk's reader, and what honest readers send beside him."""

    fleet: VirtualFleet
    thief: VirtualReader
    honest: Journal = field(init=False)
    own: Journal = field(init=False)

    def __post_init__(self) -> None:
        self.other = self.fleet.reader("bus-2")
        self.honest = self.other.journal()
        self.own = self.thief.journal()

    def good(self, reader: VirtualReader, journal: Journal) -> Message:
        """Return the next tap of a reader in a batch of its own."""
        journal.tap(at_ms=NOON_MS)
        n = len(journal.entries)
        return reader.message(journal.batch(1 if n == 2 else n, n))

    def take(self, strange: list[Message]) -> None:
        """Take hostile messages between good ones: both are acknowledged, to their last number."""
        group = [*strange, self.good(self.other, self.honest), self.good(self.thief, self.own)]
        done = self.fleet.take(*group, *strange)
        through = {ack.journal: ack.through for ack in self.fleet.acks(done)}
        for journal in (self.honest, self.own):
            assert through[journal.id] == len(journal.entries)

    def hear(self, strange: list[Message]) -> None:
        """The same for what dispatch hears: an honest status among them is heard."""
        status = Status(v=1, online=True, at_ms=NOON_MS, agent="1")
        honest = self.other.say(Purpose.STATUS, status, Leaf.STATUS)
        assert self.other.name in self.fleet.hear(*strange, honest, *strange)


@pytest.fixture(scope="module")
def scene(fleet: VirtualFleet) -> Scene:
    return Scene(fleet, fleet.reader("desk-1"))


def good_messages(reader: VirtualReader) -> dict[Leaf, bytes]:
    journal = reader.journal().taps(2)
    status = Status(v=1, online=True, at_ms=NOON_MS, agent="1")
    minute = Telemetry(v=1, from_ms=NOON_MS - 60_000, to_ms=NOON_MS, stages={}, counters={})
    card = Triage(
        v=1,
        at_ms=NOON_MS,
        programme="senior-pass",
        scheme=Scheme.FELICA_IDM,
        key_epoch=1,
        credential="d" * 32,
        journal=journal.id,
        n=2,
    )
    report = TwinReported(v=1, at_ms=NOON_MS, agent="1", rosters=[], trouble="")
    answer = DeskAnswer(1, "e" * 32, "senior-pass", NOON_MS, DeskSaid.ASKING)
    return {
        Leaf.ENTRIES: reader.sign(journal.all()),
        Leaf.STATUS: reader.say(Purpose.STATUS, status, Leaf.STATUS).payload,
        Leaf.TELEMETRY: reader.say(Purpose.TELEMETRY, minute, Leaf.TELEMETRY).payload,
        Leaf.TRIAGE: reader.say(Purpose.TRIAGE, card, Leaf.TRIAGE).payload,
        Leaf.TWIN_REPORTED: reader.say(Purpose.TWIN_REPORTED, report, Leaf.TWIN_REPORTED).payload,
        Leaf.COMMAND_RESULT: reader.say(Purpose.DESK_ANSWER, answer, Leaf.COMMAND_RESULT).payload,
    }


def deliver(scene: Scene, leaf: Leaf, strange: list[Message]) -> None:
    if leaf in (Leaf.STATUS, Leaf.TWIN_REPORTED):
        scene.hear(strange)
    else:
        scene.take(strange)


@pytest.mark.parametrize("leaf", BODIES, ids=str)
def test_what_a_stolen_key_signs_stops_nobody(scene: Scene, leaf: Leaf) -> None:
    purpose, body = BODIES[leaf]

    @examples(GROUPS)
    @given(st.lists(sealed(scene.thief, purpose, body), min_size=1, max_size=6))
    def run(payloads: list[bytes]) -> None:
        deliver(scene, leaf, [scene.thief.raw(one, leaf) for one in payloads])

    run()


@pytest.mark.parametrize("leaf", BODIES, ids=str)
def test_bytes_that_nobody_signed_stop_nobody(scene: Scene, leaf: Leaf) -> None:
    good = good_messages(scene.thief)[leaf]

    @examples(GROUPS)
    @given(st.lists(GARBAGE | changed(good), min_size=1, max_size=6))
    def run(payloads: list[bytes]) -> None:
        deliver(scene, leaf, [scene.thief.raw(one, leaf) for one in payloads])

    run()


TOPICS = st.text(max_size=80) | st.sampled_from(
    [
        "",
        "/",
        "kazasu/1/kazasu-shi/desk-1",
        "kazasu/1/kazasu-shi/desk-1/",
        "kazasu/1/kazasu-shi/desk-1/entries/more",
        "kazasu/1/kazasu-shi/desk-1/twin",
        "kazasu/1/kazasu-shi/desk-1/ack",
        "kazasu/1/kazasu-shi/desk-1/twin/desired",
        "kazasu/1/kazasu-shi/../entries",
        "kazasu/1/kazasu-shi/+/entries",
        "kazasu/1/other-shi/bus-1/entries",
        "kazasu/1/kazasu-shi/" + "b" * 60_000 + "/entries",
        "kazasu/2/kazasu-shi/desk-1/entries",
        "$SYS/broker/load",
        "kazasu/1/kazasu-shi/desk-1\0/entries",
        "kazasu/1/ｋazasu-shi/bus-1/entries",
        "\ud800/1/kazasu-shi/desk-1/entries",
    ]
)


def test_no_topic_stops_anybody(scene: Scene) -> None:
    payload = good_messages(scene.thief)[Leaf.ENTRIES]

    @examples(GROUPS)
    @given(st.lists(TOPICS, min_size=1, max_size=6))
    def run(topics: list[str]) -> None:
        strange = [Message(topic, payload, 1, False) for topic in topics]
        scene.take(strange)
        scene.hear([one for one in strange if not one.topic.endswith("/entries")])

    run()


def test_what_nobody_vouches_for_fills_no_disk(scene: Scene) -> None:
    for start in range(0, 500, 100):
        junk = [scene.thief.raw(b"junk %d" % n) for n in range(start, start + 100)]
        scene.take(junk)
    count = "select count(*) from quarantine where journal_id is null"
    ((kept,),) = scene.fleet.rows(f"{count} and reader = '{scene.thief.name}'")
    assert kept <= 60
    ((reasons,),) = scene.fleet.rows("select count(*) from bad_message")
    assert reasons < 200


def test_the_days_work_goes_on_behind_it(scene: Scene) -> None:
    """Sweeping, down-sampling, twins and marks meet all that was taken in above."""
    fleet = scene.fleet
    for _ in range(3):
        fleet.clock.pass_s(3600)
        fleet.dispatch.sweep()
        fleet.dispatch.tidy()
    assert {letter.topic for letter in fleet.dispatch.twins(fleet.dispatch.in_service())}
    fleet.dispatch.marks(fleet.dispatch.in_service())


def test_numbers_at_the_edge_of_the_contract_fit_into_every_table(fleet: VirtualFleet) -> None:
    reader = fleet.reader("bus-1")
    journal = reader.journal()
    journal.tap(code=Code.OK, roster=2**53 - 1, roster_age_s=2**53 - 1, rider_pays_yen=1_000_000)
    assert fleet.through((reader, journal.all())) == [2]
