"""An assembler for the head's one PIO program, and a state machine that keeps what it is given.

Instructions as in the RP2040's data sheet, 3.4; the side-set pin takes one of five delay bits.
"""

X, NOT_X = 1, 1


class PIO:
    OUT_LOW, SHIFT_LEFT, JOIN_TX = 2, 0, 1


class Word:
    """The last instruction, to be given its side-set and delay."""

    def __init__(self, words):
        self.words = words

    def side(self, level):
        self.words[-1] |= level << 12
        return self

    def __getitem__(self, delay):
        self.words[-1] |= delay << 8
        return self


def asm_pio(**options):
    def assembled(program):
        labels = {}
        for _ in range(2):  # the first time to find the labels
            words = []

            def word(instruction, words=words):
                words.append(instruction)
                return Word(words)

            def jump(condition, to=None, word=word):
                condition, to = (condition, to) if to else (0, condition)
                return word(condition << 5 | labels.get(to, 0))

            program.__globals__.update(
                {
                    "wrap_target": lambda: None,
                    "wrap": lambda: None,
                    "label": lambda name, words=words: labels.update({name: len(words)}),
                    "x": X,
                    "not_x": NOT_X,
                    "out": lambda to, count, word=word: word(0x6000 | to << 5 | count),
                    "jmp": jump,
                    "nop": lambda word=word: word(0xA042),
                }
            )
            program()
        return words, options

    return assembled


class StateMachine:
    def __init__(self, number, program, freq, sideset_base):
        self.program, self.freq, self.pin = program, freq, sideset_base
        self.is_active, self.sent = 0, []

    def active(self, on):
        self.is_active = on

    def put(self, words, shift):
        self.sent.append([word << shift for word in words])
