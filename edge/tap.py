"""The card half of the agent: a card is held, and half a blink later its holder knows the answer.

Read `Tap.run` and then `Tap._presented`; that is the whole story:

    sense → identify → decide → journal → show → release

Upheld: one thread decides, no network · the entry is on the disk before anyone sees a yes · what
cannot be kept is not accepted · a card left lying is one presentation · nothing waits for `link`,
nor for a roster that is being verified · the programme keys are in this process alone. The parts:
`frontends/` finds the card, `identify.py` and `schemes/` make a credential of it, `decide.py` asks
the programme's rulebook, `keeper.py` and `journal_writer.py` keep the entry, `show.py` tells the
page in the words of `panel.py`, `box.py` keeps front end, lamp and ignition.
"""

import gc
import logging
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from edge.asked import Asked
from edge.box import Box
from edge.clock import ReaderClock, boot_id
from edge.config import Config, ConfigRefused, read_config
from edge.decide import Circumstances, decide, press, stranger, tap_entry
from edge.durable import make_folder
from edge.frontends import Card, Crowded, FrontEndFault
from edge.gate import Gate
from edge.history import rebuild
from edge.identify import DEVICE_FAULT, TWO_CARDS, Identified, identify
from edge.journal import FOLDER, last_entry
from edge.journal_writer import Journal
from edge.keeper import Keeper
from edge.lock import InUse
from edge.names import Names
from edge.notify import Notify
from edge.panel import (
    DECLARED_FOR_S,
    Acknowledged,
    Appended,
    Brought,
    Condition,
    Counted,
    Declared,
    DeskAsked,
    DeskCancelled,
    DeskOver,
    FleetTime,
    FromLink,
    GateWord,
    KeysReady,
    NamesReady,
    Position,
    Pressed,
    Reach,
    RideAct,
    RosterCurrent,
    RosterReady,
    Shown,
    UsageReady,
    Vehicle,
)
from edge.presence import Presence
from edge.ride import Moment, Rides, Riding
from edge.roster import HoldingRefused, Rosters
from edge.show import Panel
from edge.stages import Stages
from edge.usage import OwnEntries, Usage
from programmes.rulebook import Decision, Direction, Place, refuse
from wire.clock import Clock, SystemClock
from wire.codes import Code
from wire.entries import Entry, JournalId, Press
from wire.entries import Tap as TapEntry
from wire.release import VERSION

ROUND_MS_MIN: Final = 10
"""A round without a new card takes at least so long, lest a front end that answers at once keep
the processor busy; a real one takes 10 to 30 ms per technology."""

log = logging.getLogger("kazasu.tap")


class Tap:
    """One reader's card half. Raises ConfigRefused, InUse or OSError at the start."""

    def __init__(self, config: Config, clock: Clock) -> None:
        state = Path(config.state)
        make_folder(state)
        self._config, self._clock, self._folder = config, clock, state / FOLDER
        found = last_entry(self._folder, config.reader)
        self._time = ReaderClock(clock, found[1].entry.at_ms if found else 0)
        own = OwnEntries()
        riding = Riding()
        boot = boot_id()
        history = rebuild(self._folder, config.reader, own, riding, boot)
        journal = Journal(self._folder, config.reader, boot, VERSION, self._time.stamp)
        self._rosters = Rosters(config)
        self._usage = Usage(config, self._rosters.fleet_key)
        self._names = Names(config, self._rosters.sealing_key)
        self._panel = Panel(state)
        self._keeper = Keeper(journal, history, own, riding, self._time, clock, self._count)
        self._rides = Rides(
            riding,
            self._keep_said,
            lambda: self._keeper.journal.id,
            self._panel.say,
            lambda: self._rosters.holdings,
        )
        self._gate = Gate(
            self._keep_said,
            lambda: self._keeper.journal.id,
            self._panel.say,
            history,
            lambda: self._rosters.holdings,
            self._circumstances,
            clock,
            self._names.of,
        )
        self._box = Box(config, clock, self._count)
        self._presence = Presence()
        self._asked = Asked(
            self._rosters, self._presence, clock, self._time.now_ms, self._panel.say
        )
        self._vehicle = Vehicle(duty="", stop="", line=config.line)
        self._spot, self._online = "", False
        self._declared: tuple[Direction, int] = ("", 0)
        self._said_condition: Condition | None = None
        self._stopping = False
        self._notify = Notify()
        for refused in (*self._rosters.load(), *self._usage.load()):
            self._refused(refused)
        self._hear(NamesReady())
        self._keeper.begin()

    # --- the story -------------------------------------------------------------------------------

    def run(self) -> None:
        """Serve cards until `stop`, or until the vehicle's journey is over."""
        while not (self._stopping or self._box.leaves):
            started_ns = self._clock.monotonic_ns()
            self._listen()
            self._look()
            self._notify.alive()
            self._rest(started_ns)

    def _look(self) -> None:
        """One round over the place's technologies."""
        try:
            card = self._box.front_end.sense(self._config.technologies)
        except Crowded:
            if self._presence.crowded():
                self._answer(TWO_CARDS, Stages(self._clock, self._box.front_end.device, {}))
            return
        if card is None:
            self._presence.nothing_found()
        elif not self._presence.still_lies(card):
            self._hear_all()  # such as a direction that was pressed while the card was looked for
            self._presented(card)

    def _presented(self, card: Card) -> None:
        """Somebody holds a card: from the field to the screen."""
        stages = Stages(self._clock, self._box.front_end.device, card.times_us)
        if card.speaks_apdu and self._presence.is_empty:  # else there is nothing to wait for
            self._box.face.reading()
        identified = self._identify(card)
        stages.end("identify")
        if self._presence.is_new(card, identified):
            self._answer(identified, stages)

    def _answer(self, identified: Identified, stages: Stages) -> None:
        entry, decision = self._decide(identified)
        stages.end("decide")
        n, decision = self._keep(entry, decision)
        stages.end("journal")
        self._show(decision, n, entry.at_ms, stages)
        self._box.face.answer(decision.outcome, decision.code)
        self._gate.tapped(entry, decision.seen)
        self._asked.answered(identified, kept=n > 0)
        if identified.match:
            self._declared = ("", 0)
            found = stranger(identified.match, self._keeper.journal.id, n, entry.at_ms)
            if n and found:
                self._panel.say(found)

    def _identify(self, card: Card) -> Identified:
        device = self._box.front_end.device
        if device is None:
            return DEVICE_FAULT
        try:
            leaving = self._presence.may_be_leaving(card)
            desk = self._asked.holding
            return identify(card, device, self._rosters, self._clock, not leaving, desk)
        except FrontEndFault as error:
            self._box.front_end.failed(error)
            return DEVICE_FAULT

    def _decide(self, identified: Identified) -> tuple[TapEntry, Decision]:
        """Ask the rulebook of the card's programme; of the first one when no roster knows it.

        What is held for a desk stands under the programme that asked, and no rulebook is asked.
        """
        now, match = self._circumstances(), identified.match
        first = next(iter(self._rosters.holdings), None)
        holding = match.holding if match else self._asked.holding or first
        programme = holding.rulebook.name if holding else self._config.programmes[0]
        if match:
            match = match._replace(under=self._keeper.history.names(programme, match.under))
        credentials = match.under if match else ()
        booked = self._keeper.history.of(programme, credentials, now.stamp.at_ms)
        answered = self._keeper.history.answered(programme, credentials, now.stamp.at_ms)
        counted = self._usage.of(match, self._keeper.own, now.stamp.at_ms)
        riding = self._rides.riding.is_aboard(credentials, now.stamp.at_ms)
        decision = decide(
            identified, holding, booked, counted, now, riding=riding, answered=answered
        )
        entry = tap_entry(programme, identified, holding, decision, counted, now, riding=riding)
        return entry, decision

    def _keep_said(self, entry: Entry) -> int:
        """Put what somebody says on the disk; return its number, 0 when it was not kept."""
        n = self._keeper.keep(entry)
        if n:
            self._say_appended()
        return n

    def _keep(self, entry: TapEntry | Press, decision: Decision) -> tuple[int, Decision]:
        """Put the entry on the disk; without a number nothing was kept, so nothing is accepted."""
        n = self._keeper.keep(entry)
        return n, decision if n else refuse(Code.JOURNAL_FULL)

    def _show(self, decision: Decision, n: int, at_ms: int, stages: Stages | None = None) -> None:
        shown = Shown(
            journal=self._keeper.journal.id,
            n=n,
            at_ms=at_ms,
            outcome=decision.outcome,
            code=decision.code,
            message=decision.shown,
            arguments=dict(decision.arguments),
            stages_us=stages.all_us() if stages else {},
        )
        self._panel.say(shown)
        if n:
            self._say_appended()

    def _circumstances(self) -> Circumstances:
        direction, until_ns = self._declared
        vehicle = self._vehicle
        return Circumstances(
            stamp=self._time.stamp(),
            place=Place(self._config.place, self._config.place_kind, vehicle.line),
            duty=vehicle.duty,
            stop=vehicle.stop,
            spot=self._spot,
            declared=direction if self._clock.monotonic_ns() < until_ns else "",
        )

    # --- between two cards -----------------------------------------------------------------------

    def _listen(self) -> None:
        """Hear what `link` has to say, mend what can be mended, and say how we are."""
        if self._panel.newcomer():
            self._said_condition, self._spot, self._online = None, "", False
            self._asked.forget()
            self._rides.forget_told()
            self._gate.forget_told()
            self._say_appended()
        self._hear_all()
        for refused in (*self._rosters.adopt(), *self._usage.adopt()):
            self._refused(refused)
        self._stepped(self._time.take_machine_time())
        if self._keeper.mend():
            self._say_appended()
        if self._panel.dropped:
            self._panel.dropped = 0
            self._count("panel.dropped")
        condition = self._condition()
        if condition != self._said_condition:
            self._said_condition = condition
            self._panel.say(condition)
        self._asked.watch(heard=self._panel.is_heard, ready=condition.ready)
        self._box.watch(condition.ready, self._online, heard=self._panel.is_heard)
        self._rides.tell(self._time.now_ms())
        self._gate.watch()

    def _rest(self, started_ns: int) -> None:
        took_ms = (self._clock.monotonic_ns() - started_ns) / 1e6
        if took_ms < ROUND_MS_MIN:
            self._panel.wait((ROUND_MS_MIN - took_ms) / 1000)

    def _hear_all(self) -> None:
        for said in self._panel.heard():
            self._hear(said)

    def _hear(self, said: FromLink) -> None:
        if isinstance(said, DeskAsked | DeskOver | DeskCancelled):
            self._asked.hear(said, ready=self._condition().ready)
            return
        if isinstance(said, RideAct):
            self._rides.hear(said, Moment(self._time.stamp(), self._spot))
            return
        if isinstance(said, GateWord):
            self._gate.hear(said, self._time.stamp())
            return
        if isinstance(said, Brought):
            try:
                self._take(said)
            except HoldingRefused as error:
                self._refused(error)
            return
        self._act(said)

    def _act(self, said: FromLink) -> None:
        match said:
            case Pressed():
                self._pressed(said)
            case Declared():
                until_ns = self._clock.monotonic_ns() + DECLARED_FOR_S * 1_000_000_000
                self._declared = (said.direction, until_ns)
            case Vehicle():
                self._vehicle = said
            case Position():
                self._spot = said.spot
            case Reach():
                self._online = said.online
            case FleetTime():
                self._stepped(self._time.take_fleet_time(said.at_ms))
            case Acknowledged():
                self._keeper.prune(self._folder, JournalId(said.journal))

    def _take(self, said: Brought) -> None:
        """Use what `link` has brought. Raises HoldingRefused."""
        match said:
            case RosterReady():
                self._rosters.open_beside(said.programme)
            case UsageReady():
                self._usage.open_beside(said.programme)
            case RosterCurrent():
                self._rosters.take_current(said)
            case KeysReady():
                self._rosters.take_keys()
            case NamesReady():
                self._names.take()

    def _pressed(self, said: Pressed) -> None:
        """Count a rider who is let on without a tap; a reader without rosters counts them too."""
        now = self._circumstances()
        counted = press(self._config.programmes, self._rosters.holdings, said.button, now)
        n, decision = self._keep(*counted) if counted else (0, refuse(Code.NOT_ELIGIBLE))
        self._show(decision, n, now.stamp.at_ms)

    def _stepped(self, step_ms: int | None) -> None:
        if step_ms is not None:
            self._keeper.stepped(step_ms)
            self._say_appended()

    def _condition(self) -> Condition:
        works = self._box.front_end.device is not None and bool(self._rosters.holdings)
        trouble = None if works else Code.DEVICE_FAULT
        if not self._keeper.works:
            trouble = Code.JOURNAL_FULL
        return Condition(
            ready=trouble is None,
            trouble=trouble,
            front_end=self._box.name,
            clock=self._time.state,
            rosters=self._rosters.versions(),
            keys=self._rosters.keys_sha256,
            names=self._names.sha256,
            usage=self._usage.held_ms(),
        )

    def _say_appended(self) -> None:
        journal = self._keeper.journal
        if journal.n:
            self._panel.say(Appended(journal=journal.id, n=journal.n, tip=journal.tip))

    def _refused(self, error: HoldingRefused) -> None:
        log.warning("%s", error)
        self._count("holding.refused")

    def _count(self, name: str) -> None:
        self._panel.say(Counted(name=name))

    def stop(self) -> None:
        """End `run` after the card that is being served; may be called by a signal handler."""
        self._stopping = True

    def close(self) -> None:
        """Let everything go: socket gone, journal closed, field off, and then the head."""
        self._notify.stopping()
        self._panel.close()
        self._keeper.journal.close()
        self._box.close(orderly=self._stopping)


def main(argv: Sequence[str] | None = None, clock: Clock | None = None) -> int:
    """Run the card half until SIGTERM or SIGINT; one argument: the configuration file."""
    arguments = sys.argv[1:] if argv is None else argv
    if len(arguments) != 1:
        print("usage: python -m edge.tap CONFIG", file=sys.stderr)
        return 2
    try:
        tap = Tap(read_config(Path(arguments[0])), clock or SystemClock())
    except (ConfigRefused, InUse) as error:
        print(error, file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, lambda *_: tap.stop())
    signal.signal(signal.SIGINT, lambda *_: tap.stop())
    gc.collect()
    gc.freeze()  # what was imported is never garbage: a collection during a tap skips it
    try:
        tap.run()
    finally:
        tap.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
