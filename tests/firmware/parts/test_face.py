"""The face: told apart without colour or sound; no flashing, little current; answers end."""

import face
import headlink
from hardware import Lamp, Pwm, refused

TICK_MS = 10
LONG_MS = 6_000
"""Twice the longest pattern."""


def lit(meaning, ms):
    """Return which lamps are lit: no colour."""
    return [pixel != face.DARK for pixel in face.frame(meaning, ms)]


def difference(one, other, shift_ms):
    """Return how many lamps differ on average, the one begun `shift_ms` earlier."""
    moments = range(0, LONG_MS, 100)
    differing = 0
    for ms in moments:
        for left, right in zip(lit(one, ms + shift_ms), lit(other, ms)):
            differing += left != right
    return differing / len(moments)


def pairs(meanings):
    meanings = list(meanings)
    return [(one, other) for at, one in enumerate(meanings) for other in meanings[:at]]


def made():
    lamp, buzzer = Lamp(), Pwm()
    return lamp, buzzer, face.Face(lamp, buzzer)


def show(shown, now_ms, meaning, aloud=0):
    return shown.show(now_ms, headlink.MEANINGS.index(meaning), aloud)


def run(shown, from_ms, to_ms, heard=True):
    for now_ms in range(from_ms, to_ms, TICK_MS):
        if heard:
            shown.heard(now_ms)
        shown.tick(now_ms)


def test_every_meaning_has_a_look():
    assert sorted(face.LOOKS) == sorted(headlink.MEANINGS)
    for meaning in headlink.MEANINGS:
        pixels = face.frame(meaning, 12_345)
        assert len(pixels) == face.LAMPS
        assert all(len(pixel) == 3 and max(pixel) < 256 for pixel in pixels)


def test_meanings_differ_in_shape_and_movement_alone_whenever_one_looks():
    for one, other in pairs(headlink.MEANINGS):
        least = min(difference(one, other, shift_ms) for shift_ms in range(0, 3_000, 300))
        assert least >= 1.3, (one, other, least)


def test_answers_differ_by_a_quarter_of_the_ring():
    for one, other in pairs(("yes", "no", "repeat", "hold-again", "reading")):
        least = min(difference(one, other, shift_ms) for shift_ms in range(0, 1_600, 200))
        assert least >= 4, (one, other, least)


def rhythm(meaning):
    """Return how long sounds and silences last: no pitch."""
    return [(hertz > 0, "short" if ms <= 150 else "long") for hertz, ms in face.SOUNDS[meaning]]


def test_answers_differ_in_rhythm_alone():
    answers = ("yes", "no", "repeat", "hold-again")
    for one, other in pairs(answers):
        sounds = [
            [length for sounding, length in rhythm(each) if sounding] for each in (one, other)
        ]
        assert sounds[0] != sounds[1], (one, other)


def test_sounds_are_such_as_a_piezo_gives_and_old_ears_hear():
    for sound in face.SOUNDS.values():
        assert all(hertz == 0 or 500 <= hertz <= 2_500 for hertz, _ in sound)
        assert sum(ms for _, ms in sound) <= 1_000


def test_no_lamp_flashes_more_than_three_times_a_second():
    for meaning in headlink.MEANINGS:
        shown = [lit(meaning, ms) for ms in range(0, LONG_MS, 50)]
        for lamp in range(face.LAMPS):
            begins = [
                at for at in range(1, len(shown)) if shown[at][lamp] and not shown[at - 1][lamp]
            ]
            for first, fourth in zip(begins, begins[3:]):
                assert (fourth - first) * 50 >= 1_000, (meaning, lamp)


def current_ma(pixels):
    levels = sum(sum(pixel) for pixel in pixels)
    return levels * face.CHANNEL_MA / 255 + len(pixels) * face.REST_MA


def test_the_ring_never_takes_more_than_its_share_of_current():
    for meaning in headlink.MEANINGS:
        for ms in range(0, LONG_MS, 100):
            assert current_ma(face.frame(meaning, ms)) <= face.CURRENT_MA_MAX, meaning


def test_an_answer_ends_and_what_stood_before_comes_back():
    for answer in ("yes", "no", "repeat", "hold-again", "reading"):
        for standing in ("ready", "offline", "fault"):
            lamp, _, shown = made()
            show(shown, 0, standing)
            show(shown, 100, answer)
            lasts_ms = face.LOOKS[answer][2]
            run(shown, 100, 100 + lasts_ms)
            assert lamp.pixels == face.frame(answer, lasts_ms - TICK_MS)
            run(shown, 100 + lasts_ms, 120 + lasts_ms)
            assert lamp.pixels == face.frame(standing, 0), (answer, standing)


def test_a_network_that_comes_or_goes_cuts_no_answer_short():
    for calm, before in (("ready", "offline"), ("offline", "ready")):
        lamp, buzzer, shown = made()
        show(shown, 0, before)
        show(shown, 0, "yes", aloud=1)
        show(shown, 20, calm)
        assert buzzer.duty
        run(shown, 20, 2_000)
        assert lamp.pixels == face.frame("yes", 0)
        run(shown, 2_000, 2_020)
        assert lamp.pixels == face.frame(calm, 0)
        show(shown, 3_000, "reading")
        show(shown, 3_010, calm)  # the card was taken away
        assert lamp.pixels == face.frame(calm, 0)


def test_a_fault_or_the_end_of_service_ends_an_answer():
    lamp, _, shown = made()
    show(shown, 0, "ready")
    show(shown, 0, "yes")
    show(shown, 10, "off")
    assert lamp.pixels == face.frame("off", 0)


def test_a_new_standing_meaning_ends_an_answer():
    lamp, _, shown = made()
    show(shown, 0, "ready")
    show(shown, 0, "yes")
    show(shown, 300, "fault")
    assert lamp.pixels == face.frame("fault", 0)
    run(shown, 300, 10_000)
    assert lamp.seen[-1] in (face.frame("fault", 0), face.frame("fault", 1000))


def test_a_standing_meaning_that_is_said_again_and_again_goes_on():
    lamp, _, shown = made()
    for now_ms in range(0, 9_000, 500):
        shown.heard(now_ms)
        show(shown, now_ms, "fault")
        run(shown, now_ms, now_ms + 500)
    assert len(lamp.seen) == 9


def test_an_answer_that_is_said_again_begins_again():
    lamp, _, shown = made()
    show(shown, 0, "ready")
    show(shown, 0, "yes")
    show(shown, 1_900, "yes")
    run(shown, 1_900, 3_800)
    assert lamp.pixels == face.frame("yes", 0)


def test_the_ring_is_written_only_when_it_changes():
    lamp, _, shown = made()
    show(shown, 0, "ready")
    run(shown, 0, 5_000)
    assert len(lamp.seen) == 1


def test_a_computer_that_is_silent_is_shown_as_a_fault_until_it_is_heard():
    lamp, _, shown = made()
    show(shown, 0, "ready")
    run(shown, 0, face.SILENT_MS, heard=False)
    assert lamp.pixels == face.frame("ready", 0)
    run(shown, face.SILENT_MS, face.SILENT_MS + 1_000, heard=False)
    assert lamp.pixels == face.frame("fault", 0)
    run(shown, face.SILENT_MS + 1_000, face.SILENT_MS + 1_020)
    assert lamp.pixels == face.frame("ready", 0)


def test_a_head_whose_computer_has_not_begun_is_dark():
    lamp, buzzer, shown = made()
    run(shown, 0, 60_000, heard=False)
    assert lamp.pixels == face.frame("off", 0)
    assert buzzer.duty == 0


def heard(shown, buzzer, from_ms, to_ms):
    """Return the sounds in order, each (Hz, ms), silence between them too."""
    sounds = []
    for now_ms in range(from_ms, to_ms, TICK_MS):
        shown.heard(now_ms)
        shown.tick(now_ms)
        hertz = buzzer.hertz if buzzer.duty else 0
        if sounds and sounds[-1][0] == hertz:
            sounds[-1] = (hertz, sounds[-1][1] + TICK_MS)
        else:
            sounds.append((hertz, TICK_MS))
    return sounds


def test_sounds_are_played_once_and_end():
    for meaning, sound in face.SOUNDS.items():
        _, buzzer, shown = made()
        show(shown, 0, meaning, aloud=1)
        assert tuple(heard(shown, buzzer, 0, 3_000)[:-1]) == sound
        assert buzzer.duty == 0


def test_without_its_sound_it_is_quiet_and_silences_what_sounds():
    _, buzzer, shown = made()
    show(shown, 0, "fault", aloud=1)
    assert buzzer.duty
    show(shown, 100, "no", aloud=0)
    assert heard(shown, buzzer, 100, 2_000) == [(0, 1_900)]


def test_a_meaning_of_a_newer_agent_is_refused_and_nothing_changes():
    lamp, _, shown = made()
    show(shown, 0, "ready")
    assert refused(shown.show, 0, len(headlink.MEANINGS), 1) == "damaged"
    assert lamp.pixels == face.frame("ready", 0)
