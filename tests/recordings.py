"""Makes the recordings that readers speak with: `scripts/voice`.

Each piece that edge/voice.py can ask for is spoken by Open JTalk (pyopenjtalk-plus, with the voice
Mei of the MMDAgent project), cut to where the sound is, brought to one loudness and packed as Opus.
`recordings.tsv` beside them lists file, words and how they were read: look at it when it changes,
for how Japanese is read is a guess, and SPOKEN mends a wrong one.
"""

import subprocess
import sys
from pathlib import Path
from typing import Any, Final, NamedTuple

from edge.voice import (
    COUNTERS,
    HOURS_MAX,
    MINUTES,
    MINUTES_OF_AN_HOUR,
    PAUSE,
    clip,
    hours,
    number,
    pieces,
    time_of_day,
)
from programmes.register import RULEBOOKS
from programmes.texts import catalogue
from wire.codes import Code

ROOT: Final = Path(__file__).parents[1]
FOLDER: Final = ROOT / "edge" / "web" / "static" / "voice"
LIST: Final = FOLDER / "recordings.tsv"
PAGE: Final = ("page.accepted", "page.repeat", "page.refused", "page.again", "desk.read")
"""What any reader may say; beside it the refusals, what a desk asks and what a programme says."""
SPOKEN: Final = {
    "八回": "はっかい",
    "八百": "はっぴゃく",
    "四万": "よんまん",
    "二分": "にふん",
    "五分": "ごふん",
    "八分": "はっぷん",
    "九分": "きゅうふん",
}
"""How words are written for Open JTalk, where it would take them for others (八百, 四万: Yao and
Shima, two names; 五分: half)."""
ARGUMENTS: Final = {"time": "07:42"} | dict.fromkeys(
    ("yen", "left", "day", "year", "subsidy", "pays", "hours", "minutes"), "1"
)
"""For sentences that name them."""
RATE: Final = 48_000
KBIT_S: Final = 24
"""Speech of one voice is clear from 16 kbit/s on (RFC 6716, 2.1.1: 16 to 20 for wideband)."""
LOUDNESS: Final = 0.12
"""Mean square root of the samples, of 1: as loud as the chime beside it."""
PEAK_MAX: Final = 0.9
QUIET: Final = 0.004
"""Samples below this, at both ends, are silence: 48 dB under full."""
EDGE_S: Final = 0.03
"""Kept at both ends: two pieces meet with the break of a spoken syllable, not a click."""


class Recording(NamedTuple):
    """A line of the list."""

    name: str
    words: str
    reading: str


def sentences() -> list[str]:
    """Return the ids of all that a reader may say."""
    known = {*PAGE, *(f"refused.{code}" for code in Code)}
    begins = ("desk.ask", *(f"{name}." for name in RULEBOOKS))
    return [one for one in catalogue("ja") if one in known or one.startswith(begins)]


def every_piece() -> set[str]:
    """Return the words of every recording that edge/voice.py can ask for."""
    # Each digit at each place, as the last one, before others and before 万.
    values = (*range(10_000), *range(10_000, 1_000_000, 10_000), *range(10_001, 1_000_000, 10_000))
    numbers = {piece for one in COUNTERS for value in values for piece in number(value, one)}
    times = {piece for minute in range(24 * 60) for piece in time_of_day(*divmod(minute, 60))}
    times |= {hours(value) for value in range(HOURS_MAX + 1)}
    times |= {piece for value in range(MINUTES_OF_AN_HOUR) for piece in number(value, MINUTES)}
    said = {piece for message in sentences() for piece in pieces(message, ARGUMENTS)}
    return (numbers | times | said) - {PAUSE}


def recorded() -> list[Recording]:
    """Return the list as it stands."""
    if not LIST.exists():
        return []
    lines = LIST.read_text("utf-8").splitlines()
    return [Recording(*line.split("\t")) for line in lines if not line.startswith("#")]


def read(words: str) -> str:
    """Return in kana how the words are spoken."""
    import pyopenjtalk

    return str(pyopenjtalk.g2p(SPOKEN.get(words, words), kana=True))


def speak(words: str) -> bytes:
    """Return the words spoken: 16-bit samples at RATE."""
    import numpy as np
    import pyopenjtalk

    samples: Any
    samples, rate = pyopenjtalk.tts(SPOKEN.get(words, words))
    if rate != RATE:
        raise RuntimeError(f"the voice speaks at {rate} samples a second, not at {RATE}")
    samples = samples / 32_768
    loud = np.flatnonzero(np.abs(samples) > QUIET)
    edge = int(EDGE_S * RATE)
    samples = samples[max(0, loud[0] - edge) : loud[-1] + edge]
    gain = min(LOUDNESS / np.sqrt(np.mean(samples**2)), PEAK_MAX / np.abs(samples).max())
    return bytes((samples * gain * 32_767).astype("<i2").tobytes())


def record(words: str) -> Recording:
    """Speak the words into their file."""
    command = ["opusenc", "--quiet", "--raw", "--raw-rate", str(RATE), "--raw-chan", "1"]
    command += ["--bitrate", str(KBIT_S), "--speech", "--serial", "1", "--padding", "0"]
    command += ["-", str(file_of(clip(words)))]
    subprocess.run(command, input=speak(words), check=True)
    return Recording(clip(words), words, read(words))


def file_of(name: str) -> Path:
    """Return where a recording lies."""
    return FOLDER / f"{name}.opus"


def differences() -> tuple[list[str], list[str]]:
    """Return the words that are not recorded, and the files that nobody asks for."""
    wanted = {clip(words): words for words in every_piece()}
    listed = {one.name for one in recorded()}
    missing = [words for name, words in wanted.items()
               if name not in listed or not file_of(name).exists()]  # fmt: skip
    extra = [path.stem for path in FOLDER.glob("*.opus") if path.stem not in wanted]
    return missing, extra


def make() -> None:
    """Record what is missing or is read otherwise by now, and take away what nobody asks for."""
    FOLDER.mkdir(exist_ok=True)
    missing, extra = differences()
    for name in extra:
        file_of(name).unlink()
    good = [one for one in recorded()
            if one.words not in missing and file_of(one.name).exists()
            and one.reading == read(one.words)]  # fmt: skip
    made = [record(words) for words in every_piece() - {one.words for one in good}]
    lines = ["\t".join(one) + "\n" for one in sorted(good + made, key=lambda one: one.words)]
    LIST.write_text("# file\twords\tas they were read\n" + "".join(lines), encoding="utf-8")
    sys.stdout.write(f"voice: {len(made)} recordings made, {len(extra)} taken away\n")


def main(arguments: list[str]) -> int:
    """Make the recordings; `--check`: only tell what should be made."""
    if "--check" not in arguments:
        make()
        return 0
    missing, extra = differences()
    for one in missing:
        sys.stdout.write(f"not recorded: {one}\n")
    for one in extra:
        sys.stdout.write(f"said by nobody: {one}\n")
    return bool(missing or extra)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
