"""What the head senses: ignition, the box's lid, its own temperature, the supply's voltage.

Upheld: a contact counts once it has settled · that the box was opened, and a fault, are kept until
SENSE has told them, so neither a lost event nor a computer that is off hides one · STATE tells what
has changed by as much as matters, at most once a second; what it does not tell, SENSE does.
"""

import headlink

IGNITION_ON_MS, IGNITION_OFF_MS = 200, 3_000
"""A key bounces for some ms; while the starter turns, a second or two, many cars let go of what
ignition feeds, and that is no end of a journey."""
TAMPER_MS = 50
"""A lid's switch bounces for less, and trembles longer on a bad road without being opened."""
SAMPLE_MS = 100
"""Between two looks at the voltages; each counts an eighth, so the noise of a vehicle goes."""
SAY_MS = 1_000
"""Between two events."""
CHANGE_TENTHS, CHANGE_MV = 20, 500
"""What matters: 2.0 °C; half a volt, as between a resting battery and one that is charged."""
HOT_TENTHS, COOL_TENTHS = 850, 800
"""The RP2040 is made for up to 85 °C (RP2040 data sheet, 5.5.1); hot ends five degrees below."""
TOO_HOT = 1 << headlink.FAULTS.index("too-hot")


def tenths_of_celsius(raw):
    """Return the chip's temperature from its ADC's input 4, 0 to 65535 for 0 to 3.3 V.

    27 °C at 0.706 V, and 1.721 mV less for each degree (RP2040 data sheet, 4.9.5).
    """
    return round(270 - (raw * 3.3 / 65535 - 0.706) * 10 / 0.001721)


class Settled:
    """A contact's level once it has stayed for long enough."""

    def __init__(self, pin, high_ms, low_ms):
        self._pin, self._wait_ms = pin, (low_ms, high_ms)
        self.level = pin.value()
        self._since_ms = None

    def tick(self, now_ms):
        """Look at it."""
        level = self._pin.value()
        if level == self.level:
            self._since_ms = None
        elif self._since_ms is None:
            self._since_ms = now_ms
        elif now_ms - self._since_ms >= self._wait_ms[level]:
            self.level, self._since_ms = level, None


class Senses:
    """Contacts as pins, voltages as ADCs; `supply_mv_full` is the supply that gives the ADC 3.3 V.

    `say` is called with STATE.
    """

    def __init__(self, ignition, tamper, thermometer, supply, supply_mv_full, say):
        self._ignition = Settled(ignition, IGNITION_ON_MS, IGNITION_OFF_MS)
        self._tamper = Settled(tamper, TAMPER_MS, TAMPER_MS)
        self._thermometer, self._supply, self._mv_full = thermometer, supply, supply_mv_full
        self._temperature = float(tenths_of_celsius(thermometer.read_u16()))
        self._mv = float(self._read_mv())
        self._sampled_ms = 0
        self._hot = False
        self._opened = self._faults = 0
        self._say, self._said, self._said_ms = say, None, 0

    def ops(self):
        """Return what is carried out here."""
        return {headlink.SENSE: self.sense}

    @property
    def ignition(self):
        """True while it is on."""
        return self._ignition.level == 1

    def note(self, fault):
        """Keep one of headlink.FAULTS until SENSE has told it."""
        self._faults |= 1 << headlink.FAULTS.index(fault)

    def sense(self, _now_ms):
        """Tell what is sensed, and let go of what was kept until now."""
        state = self._state()
        self._opened = self._faults = 0
        return state

    def tick(self, now_ms):
        """Look at everything, and tell what has changed."""
        self._ignition.tick(now_ms)
        self._tamper.tick(now_ms)
        self._opened |= self._tamper.level
        if now_ms - self._sampled_ms >= SAMPLE_MS:
            self._sampled_ms = now_ms
            self._sample()
        if self._said is None or now_ms - self._said_ms >= SAY_MS:
            state = self._state()
            if self._said is None or _matters(self._said, state):
                self._said, self._said_ms = state, now_ms
                self._say(headlink.STATE, *state)

    def _sample(self):
        tenths = tenths_of_celsius(self._thermometer.read_u16())
        self._temperature += (tenths - self._temperature) / 8
        self._mv += (self._read_mv() - self._mv) / 8
        self._hot = self._temperature >= (COOL_TENTHS if self._hot else HOT_TENTHS)
        if self._hot:
            self._faults |= TOO_HOT

    def _read_mv(self):
        return self._supply.read_u16() * self._mv_full // 65535

    def _state(self):
        return (
            self._ignition.level,
            self._opened | self._tamper.level,
            round(self._temperature),
            round(self._mv),
            self._faults | (TOO_HOT if self._hot else 0),
        )


def _matters(before, now):
    return (
        before[:2] != now[:2]
        or before[4] != now[4]
        or abs(before[2] - now[2]) >= CHANGE_TENTHS
        or abs(before[3] - now[3]) >= CHANGE_MV
    )
