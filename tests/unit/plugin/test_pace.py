"""How fast a job is, and how long the rest takes, in words."""

from __future__ import annotations

import pytest

from napari_msimage.engines import Progress
from napari_msimage.errors import ArgumentError
from napari_msimage.plugin.widgets._jobs import Pace, seconds_in_words, sentence_of

MIB = 2**20


def test_speed_is_that_of_the_last_seconds():
    pace = Pace()
    for second in range(11):
        done = second * MIB if second < 6 else 6 * MIB + (second - 6) * 10 * MIB
        pace.note(Progress(done, 100 * MIB), float(second))
    assert pace.bytes_per_s == 10 * MIB


def test_words():
    pace = Pace()
    pace.note(Progress(0, 3 * MIB), 0.0)
    assert pace.in_words(Progress(0, 3 * MIB)) == "0 bytes of 3 MiB"
    pace.note(Progress(MIB, 3 * MIB), 2.0)
    words = pace.in_words(Progress(MIB, 3 * MIB))
    assert words == "1 MiB of 3 MiB, 512 KiB/s, 4 s left"
    assert pace.in_words(Progress(3 * MIB, 3 * MIB)) == "3 MiB of 3 MiB"


def test_nothing_is_said_about_a_job_that_stands_still():
    pace = Pace()
    pace.note(Progress(5, 9), 0.0)
    pace.note(Progress(5, 9), 60.0)
    assert pace.in_words(Progress(5, 9)) == "5 bytes of 9 bytes"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.2, "0 s"), (59, "59 s"), (125, "2 min 5 s"), (3 * 3600 + 61, "3 h 1 min")],
)
def test_times(seconds, words):
    assert seconds_in_words(seconds) == words


def test_errors_are_sentences(caplog):
    assert sentence_of(ArgumentError("factor is wrong")) == "Factor is wrong."
    assert sentence_of(ArgumentError("'a' is taken.")) == "'a' is taken."
    assert not caplog.records
    assert "ZeroDivisionError: oops" in sentence_of(ZeroDivisionError("oops"))
    assert len(caplog.records) == 1
