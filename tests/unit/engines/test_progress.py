"""Draining engines."""

from __future__ import annotations

import pytest

from napari_msimage.engines import Progress, run


def engine(closed):
    try:
        for done in (1, 2, 3):
            yield Progress(done, 3)
    finally:
        closed.append(True)
    return "result"


def test_run_reports_each_step_and_returns_the_result():
    closed, seen = [], []

    assert run(engine(closed), seen.append) == "result"

    assert seen == [Progress(1, 3), Progress(2, 3), Progress(3, 3)]
    assert closed == [True]


def test_run_closes_the_engine_when_reporting_fails():
    closed = []

    def fail(_):
        msg = "no more"
        raise RuntimeError(msg)

    with pytest.raises(RuntimeError, match="no more"):
        run(engine(closed), fail)

    assert closed == [True]


@pytest.mark.parametrize(
    ("done", "total", "fraction"), [(0, 4, 0.0), (1, 4, 0.25), (4, 4, 1.0), (0, 0, 1.0)]
)
def test_fraction(done, total, fraction):
    assert Progress(done, total).fraction == fraction
