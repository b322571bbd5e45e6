"""The face: lamp ring and buzzer, by meaning, also for who sees no colour or hears nothing.

Upheld: each meaning differs from every other in shape and movement alone, and what answers a card
differs in rhythm alone · nothing flashes more often than three times a second (WCAG 2.2, 2.3.1) ·
an answer ends by itself, and what stands comes back; none is cut short because the network came or
went · a computer that has fallen silent is shown as a fault, since «ready» would be a lie · the
ring never takes more than CURRENT_MA_MAX.
"""

import headlink

LAMPS = 16
"""In a ring, number 0 on top, clockwise."""
CURRENT_MA_MAX = 300
"""At 5 V: 1.5 W of the 12 W that the converter gives, where the whole ring at its brightest, 3.8 W,
would be the largest load after the modem."""
CHANNEL_MA, REST_MA = 20, 1
"""Of one colour of one WS2812 at 255, and of a dark one (WS2812 data sheet, Worldsemi)."""
SILENT_MS = 10_000
"""Of a computer that lives: the agent asks something at least every 3 s."""
VOLUME = 1 << 15
"""Half of a period high: the loudest that a passive buzzer gets."""

DARK = (0, 0, 0)
WHITE = (14, 14, 14)
SKY = (0, 50, 90)
GREEN = (0, 125, 90)
ORANGE = (150, 50, 0)
YELLOW = (90, 70, 0)
PURPLE = (60, 20, 50)
"""Near to Okabe and Ito's colours (2008), which the colour-blind can tell apart; as bright as
CURRENT_MA_MAX allows for as many lamps as the meaning lights."""


def _arc(first, count):
    """Return the mask of so many lamps in a row, clockwise; bit n is lamp n."""
    mask = 0
    for lamp in range(first, first + count):
        mask |= 1 << lamp % LAMPS
    return mask


ALL = _arc(0, LAMPS)
LEFT, RIGHT = _arc(8, 8), _arc(0, 8)
LOWER = _arc(5, 7)
CARDINAL = 0x1111
UPRIGHT = 0x0101
ENDS = _arc(15, 3) | _arc(7, 3)

LOOKS = {
    # Four quiet dots: nothing moves, so there is nothing to wait for.
    "ready": (WHITE, ((CARDINAL, 1000),), 0),
    # A quarter that runs round, as everywhere where something is being done: keep the card there.
    "reading": (SKY, tuple((_arc(2 * step, 4), 100) for step in range(8)), 10_000),
    # The whole ring, steady, ○ as on the screen: the most light and the least movement.
    "yes": (GREEN, ((ALL, 1000),), 2_000),
    # Left and right in turn, as the lamps of a level crossing: stop.
    "no": (ORANGE, ((LEFT, 400), (RIGHT, 400)), 4_000),
    # The lower part, steady: calm as a yes, and less of it: it was taken before.
    "repeat": (SKY, ((LOWER, 1000),), 3_000),
    # A ring that fills and begins anew, ↻ as on the screen: so does who holds the card again.
    "hold-again": (YELLOW, tuple((_arc(0, 2 * step), 200) for step in range(1, 9)), 5_000),
    # Top and bottom alone, off for a moment: like ready, as cards are taken, yet not quite.
    "offline": (PURPLE, ((UPRIGHT, 2000), (0, 1000)), 0),
    # Two short arcs, slowly on and off together: nothing else here is dark for so long.
    "fault": (ORANGE, ((ENDS, 1000), (0, 1000)), 0),
    # Dark: nobody is meant to come here.
    "off": (DARK, ((0, 1000),), 0),
}
"""By meaning: colour; masks with the ms that each is shown, over and over; ms after which what
stood before comes back, 0: it stays."""

SOUNDS = {
    "yes": ((1500, 120), (0, 60), (2000, 280)),  # short and long, rising
    "no": ((600, 300), (0, 100), (600, 500)),  # two long low ones
    "repeat": ((1500, 300),),  # a single one
    "hold-again": ((2000, 120), (0, 100), (2000, 120), (0, 100), (2000, 120)),  # three short ones
    "fault": ((600, 1000),),  # very long, once
}
"""By meaning: Hz and ms; 0 Hz is silence. What is not here has no sound. Between what a small piezo
can sound, from about 500 Hz, and what old ears hear well, up to 2.5 kHz (JIS S 0013)."""


CALM, ANSWERS = ("ready", "offline"), ("yes", "no", "repeat", "hold-again")
"""What waits for the end of what."""


def frame(meaning, ms):
    """Return the 16 pixels, each (red, green, blue), that `meaning` shows `ms` after it began."""
    colour, steps, _ = LOOKS[meaning]
    mask = steps[_step(steps, ms)][0]
    return [colour if mask >> lamp & 1 else DARK for lamp in range(LAMPS)]


def _step(steps, ms):
    """Return the number of the step, each (what, ms), that `ms` falls into, going round."""
    ms %= sum(step[1] for step in steps)
    for number, step in enumerate(steps):
        if ms < step[1]:
            return number
        ms -= step[1]
    return 0


class Face:
    """Shows one meaning at a time on `lamp` (a ring.Ring) and `buzzer` (a machine.PWM)."""

    def __init__(self, lamp, buzzer):
        self._lamp, self._buzzer = lamp, buzzer
        self._standing = "off"
        self._shown, self._since_ms, self._ends_ms = "off", 0, 0
        self._heard_ms = 0
        self._drawn = None
        self._sound, self._tone_ends_ms = [], 0
        buzzer.duty_u16(0)

    def ops(self):
        """Return what is carried out here."""
        return {headlink.SHOW: self.show}

    def heard(self, now_ms):
        """Take note that the computer lives."""
        self._heard_ms = now_ms

    def show(self, now_ms, number, aloud):
        """Show a number of headlink.MEANINGS, from its beginning; `aloud`: with its sound."""
        if number >= len(headlink.MEANINGS):
            raise headlink.Damaged("no such meaning")
        meaning = headlink.MEANINGS[number]
        lasts_ms = LOOKS[meaning][2]
        if not lasts_ms:
            self._standing = meaning
        if meaning in CALM and self._shown in ANSWERS:
            return ()
        if meaning != self._shown or lasts_ms:
            self._begin(now_ms, meaning)
        self._sound = list(SOUNDS.get(meaning, ())) if aloud else []
        self._tone_ends_ms = now_ms
        self.tick(now_ms)
        return ()

    def tick(self, now_ms):
        """Draw and sound what is to be seen and heard now."""
        if self._ends_ms and now_ms >= self._ends_ms:
            self._begin(now_ms, self._standing)
        meaning = self._shown
        if now_ms - self._heard_ms >= SILENT_MS and self._standing != "off":
            meaning = "fault"
        step = _step(LOOKS[meaning][1], now_ms - self._since_ms)
        if (meaning, step) != self._drawn:
            self._drawn = (meaning, step)
            for number, pixel in enumerate(frame(meaning, now_ms - self._since_ms)):
                self._lamp[number] = pixel
            self._lamp.write()
        if now_ms >= self._tone_ends_ms:
            self._next_tone(now_ms)

    def _begin(self, now_ms, meaning):
        lasts_ms = LOOKS[meaning][2]
        self._shown, self._since_ms = meaning, now_ms
        self._ends_ms = now_ms + lasts_ms if lasts_ms else 0

    def _next_tone(self, now_ms):
        hertz = 0
        if self._sound:
            hertz, ms = self._sound.pop(0)
            self._tone_ends_ms = now_ms + ms
        if hertz:
            self._buzzer.freq(hertz)
        self._buzzer.duty_u16(VOLUME if hertz else 0)
