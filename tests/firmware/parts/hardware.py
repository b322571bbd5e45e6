"""Hardware for tests of the head's parts: it remembers what was done to it."""


class Pin:
    def __init__(self, level=0):
        self.level = level
        self.levels = []

    def value(self, level=None):
        if level is None:
            return self.level
        self.level = level
        self.levels.append(level)
        return None


class Adc:
    def __init__(self, value=0):
        self.value = value

    def read_u16(self):
        return self.value


class Pwm:
    def __init__(self):
        self.hertz = 0
        self.duty = 0

    def freq(self, hertz):
        self.hertz = hertz

    def duty_u16(self, duty):
        self.duty = duty


class Lamp:
    def __init__(self):
        self.pixels = [(0, 0, 0)] * 16
        self.seen = []

    def __len__(self):
        return len(self.pixels)

    def __setitem__(self, number, pixel):
        self.pixels[number] = pixel

    def write(self):
        self.seen.append(list(self.pixels))


class Said:
    """Takes events, as Head.say does."""

    def __init__(self):
        self.events = []

    def __call__(self, op, *values, tail=b""):
        op.answer(*values, tail=tail)  # packs, or raises
        self.events.append((op, values))


def refused(call, *values):
    """Return the error that a call was refused with; "damaged": bad values; None: it was done."""
    import headlink

    try:
        call(*values)
    except headlink.Refused as refused:
        return refused.error
    except headlink.Damaged:
        return "damaged"
    return None
