# SPDX-License-Identifier: Apache-2.0
"""Endless text without much sense: the same words for the same seed, on every machine."""

import random
from collections.abc import Iterator

SENTENCES = (
    "the {noun} {verb} the {adjective} {noun}",
    "every {noun} of the {place} {verb} a {noun}",
    "{adverb} the {adjective} {noun} {verb} the {noun} in the {place}",
    "a {noun} that {verb} nothing {verb} the {place}",
    "in the {place} the {noun} {adverb} {verb} its {adjective} {noun}",
)
WORDS = {
    "noun": ("lamp", "harbour", "engineer", "letter", "river", "clock", "garden", "signal"),
    "adjective": ("quiet", "patient", "red", "distant", "heavy", "careful", "early", "plain"),
    "verb": ("finds", "keeps", "counts", "answers", "carries", "remembers", "crosses", "mends"),
    "adverb": ("slowly", "often", "at last", "without haste", "every evening"),
    "place": ("north", "valley", "old station", "library", "archive", "morning fog"),
}
SENTENCES_A_PARAGRAPH = 5


def words(seed: int) -> Iterator[str]:
    """Word by word, each with the space or the empty line that comes after it: joined, they are
    the text."""
    # Only random() is promised to give the same numbers in every version of Python.
    draw = random.Random(seed).random
    while True:
        for number in range(1, SENTENCES_A_PARAGRAPH + 1):
            end = "\n\n" if number == SENTENCES_A_PARAGRAPH else " "
            pattern = SENTENCES[int(draw() * len(SENTENCES))]
            parts = [_filled(part, draw()) for part in pattern.split(" ")]
            sentence = " ".join(parts).split(" ")
            sentence[0] = sentence[0].capitalize()
            yield from (f"{word} " for word in sentence[:-1])
            yield f"{sentence[-1]}.{end}"


def _filled(part: str, drawn: float) -> str:
    choices = WORDS.get(part.strip("{}"), (part,))
    return choices[int(drawn * len(choices))]
