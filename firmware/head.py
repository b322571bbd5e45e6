"""The reader head: one loop that hears the computer and the chip, and lets each part do its share.

Read `Head.turn`: link → request → part → answer. A part is one module (`nfc`, `face`, `relay`,
`senses`, `power`, `update`) with the operations it carries out and a `tick`. Upheld: nothing in the
loop waits, so that lamp, relay and both watchdogs go on whatever the chip or the computer does ·
what the loop raises ends in a restart by `main`, and one that hangs in the head's own watchdog · a
request that comes again is answered from memory, and while it is under way not begun again · what
was given up for another request is answered no more.
"""

import select
import time

import headlink

WAIT_MS = 5
"""The longest that the loop sleeps: the chip's time-outs are that exact."""
TICK_MS = 5
"""Parts are ticked so often, and not with each byte of the chip: its answer waits for none of them
in between."""
LINK_BYTES = 512
"""Read at once; more waits in the USB buffers."""
NFC_OPS = (headlink.NFC, headlink.NFC_RESET, headlink.NFC_POLL)
"""They take their time: answered when the chip has."""


class Head:
    """The link and the parts behind it.

    `link` and `uart` are streams that select.poll knows and that never wait. `hello(now_ms)` gives
    HELLO's values, `fed()` is called at each turn.
    """

    def __init__(self, link, uart, hello, fed):
        self._link, self._fed = link, fed
        self._stream, self._memory = headlink.Stream(), headlink.Memory()
        self._under_way = ()
        self._greeted = False
        self._events = 0
        self._handlers = {
            headlink.HELLO: hello,
            headlink.PING: lambda now_ms: (now_ms & 0xFFFFFFFF,),
        }
        self._poll = select.poll()
        self._poll.register(link, select.POLLIN)
        self._poll.register(uart, select.POLLIN)
        self.now_ms = self._ticked_ms = 0
        self._ticks = time.ticks_ms()

    def fit(self, nfc, parts, heard):
        """Let these do the work: parts have `ops()` and `tick(now_ms)`.

        `heard(now_ms)` is told of each request.
        """
        self._nfc, self._parts, self._heard = nfc, parts, heard
        for part in parts:
            self._handlers.update(part.ops())

    def turn(self):
        """Wait for something to happen, not for long, and let everything happen once."""
        self._poll.poll(WAIT_MS)
        self._fed()
        now_ms = self._now()
        data = self._link.read(LINK_BYTES)
        if data:
            for asked in self._stream.feed(data):
                self._asked(now_ms, asked)
        self._nfc.tick(now_ms)
        if now_ms - self._ticked_ms >= TICK_MS:
            self._ticked_ms = now_ms
            for part in self._parts:
                part.tick(now_ms)

    def say(self, op, *values, tail=b""):
        """Tell the computer of an event; one that is lost heals, as its state can be asked for."""
        self._events = (self._events + 1) & 0xFF
        payload = op.answer(*values, tail=tail)
        self._link.write(headlink.pack(headlink.EVENT, self._events, op.code, payload))

    def _now(self):
        """Return ms since the start, which never wrap."""
        ticks = time.ticks_ms()
        self.now_ms += time.ticks_diff(ticks, self._ticks)
        self._ticks = ticks
        return self.now_ms

    def _asked(self, now_ms, asked):
        kind, _, code, payload = asked
        if kind != headlink.REQUEST:
            return
        self._heard(now_ms)
        answered = self._memory.recall(asked)
        if answered:
            self._link.write(answered)
            return
        if asked == self._under_way:
            return
        self._under_way = asked
        try:
            op = self._allowed(headlink.BY_CODE.get(code))
            values = op.read_asked(payload)
            if op in NFC_OPS:
                self._nfc.begin(now_ms, op, values, lambda *came: self._nfc_came(asked, *came))
            else:
                self._answer(asked, op.answer(*self._handlers[op](now_ms, *values)), 0)
        except headlink.Refused as refused:
            self._answer(asked, b"", refused.error)
        except headlink.Damaged:
            self._answer(asked, b"", headlink.MALFORMED)

    def _allowed(self, op):
        if op is None or (op not in NFC_OPS and op not in self._handlers):
            raise headlink.Refused(headlink.UNKNOWN)
        self._greeted = self._greeted or op is headlink.HELLO
        if not self._greeted:
            raise headlink.Refused(headlink.NO_HELLO)
        return op

    def _nfc_came(self, asked, payload, error):
        if asked == self._under_way:  # else nobody waits for it, and what came since is remembered
            self._answer(asked, payload, error)

    def _answer(self, asked, payload, error):
        self._under_way = ()
        kind = headlink.ERROR if error else headlink.RESPONSE
        body = bytes((error,)) if error else payload
        line = headlink.pack(kind, asked[1], asked[2], body)
        self._link.write(self._memory.keep(asked, line))


def run():
    """Serve for ever, on the board's own hardware."""
    import board

    head = board.make()
    while True:
        head.turn()
