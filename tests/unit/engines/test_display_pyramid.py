"""Which levels are displayed: a plan is compared with what a viewer needs of it."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_msimage.engines import plan_display
from napari_msimage.engines._display_pyramid import (
    MAX_COARSEST_BYTES,
    MEMORY_BYTES,
    OVERVIEW_SIDE,
)
from napari_msimage.errors import ArgumentError

CASES = {
    "rgb-one-level": ([(32768, 32768, 3)], "uint8", True),
    "rgb-odd": ([(33333, 20001, 3)], "uint8", True),
    "rgb-huge": ([(150_001, 99_999, 3)], "uint8", True),
    "visium": ([(20001, 17999, 3), (600, 540, 3)], "uint8", True),
    "visium-hires": (
        [(20000, 18000, 3), (2000, 1800, 3), (600, 540, 3)],
        "uint8",
        True,
    ),
    "strip": ([(200_000, 300)], "uint16", False),
    "row": ([(1, 10**8)], "float32", False),
    "volume": ([(500, 8192, 8190)], "uint16", False),
    "cube": ([(1000, 1001, 999)], "uint8", False),
    "factor-4": ([(8192, 8192), (2048, 2048), (512, 512)], "uint16", False),
}


def by_case(test):
    return pytest.mark.parametrize(
        ("shapes", "dtype", "rgb"), CASES.values(), ids=CASES
    )(test)


@by_case
def test_levels_get_smaller_along_every_axis_or_stay(shapes, dtype, rgb):
    plan = plan_display(shapes, np.dtype(dtype), rgb=rgb)

    for finer, coarser in itertools.pairwise(level.shape for level in plan.levels):
        assert all(c <= f for f, c in zip(finer, coarser, strict=True))
        assert math.prod(coarser) < math.prod(finer)


@by_case
def test_no_step_is_larger_than_2_9(shapes, dtype, rgb):
    plan = plan_display(shapes, np.dtype(dtype), rgb=rgb)

    for finer, coarser in itertools.pairwise(level.shape for level in plan.levels):
        assert max(f / c for f, c in zip(finer, coarser, strict=True)) < 2.9


@by_case
def test_coarsest_level_is_small(shapes, dtype, rgb):
    plan = plan_display(shapes, np.dtype(dtype), rgb=rgb)

    coarsest = plan.levels[-1]
    nbytes = math.prod(coarsest.shape) * np.dtype(dtype).itemsize
    assert nbytes <= MAX_COARSEST_BYTES
    if plan.has_overview:
        assert coarsest.in_memory
        assert max(coarsest.shape[: plan.n_spatial]) <= OVERVIEW_SIDE * math.sqrt(2)


@by_case
def test_stored_levels_are_all_displayed_in_order(shapes, dtype, rgb):
    plan = plan_display(shapes, np.dtype(dtype), rgb=rgb)

    stored = [level for level in plan.levels if level.is_stored]
    assert [level.shape for level in stored] == shapes
    assert [level.stored for level in stored] == list(range(len(shapes)))


@by_case
def test_virtual_levels_are_made_from_the_next_finer_stored_one(shapes, dtype, rgb):
    plan = plan_display(shapes, np.dtype(dtype), rgb=rgb)

    last = -1
    for level in plan.levels:
        last = level.stored if level.is_stored else last
        assert level.stored == last


@by_case
def test_memory_is_bounded_and_shared(shapes, dtype, rgb):
    for n_sharing in (1, 4):
        plan = plan_display(
            shapes, np.dtype(dtype), rgb=rgb, memory_bytes=MEMORY_BYTES // n_sharing
        )
        in_memory = [
            math.prod(level.shape) * np.dtype(dtype).itemsize
            for level in plan.levels
            if level.in_memory
        ]
        assert sum(in_memory) <= max(
            MEMORY_BYTES * 1.02 / n_sharing, MAX_COARSEST_BYTES
        )


@by_case
def test_levels_in_memory_are_whole_multiples_of_each_other(shapes, dtype, rgb):
    plan = plan_display(shapes, np.dtype(dtype), rgb=rgb)

    for finer, coarser in itertools.pairwise(plan.levels):
        if finer.in_memory and coarser.in_memory and finer.stored == coarser.stored:
            full = shapes[finer.stored]
            for f, c, n in zip(finer.shape, coarser.shape, full, strict=True):
                assert f == n or f % c == 0


def test_a_whole_pyramid_needs_no_virtual_level():
    shapes = [(8192, 8190, 3), (4096, 4095, 3), (2048, 2047, 3), (1024, 1023, 3)]

    assert plan_display(shapes, np.dtype("uint8"), rgb=True).n_virtual == 0


def test_a_small_image_needs_no_virtual_level():
    assert plan_display([(1500, 2000, 3)], np.dtype("uint8"), rgb=True).n_virtual == 0


def test_powers_of_two_stay_exact():
    plan = plan_display([(32768, 32768, 3)], np.dtype("uint8"), rgb=True)

    assert [level.shape[0] for level in plan.levels] == [
        32768, 16384, 8192, 4096, 2048, 1024,
    ]  # fmt: skip


@given(
    st.lists(st.integers(1, 300_000), min_size=2, max_size=3),
    st.sampled_from(["uint8", "uint16", "float64"]),
    st.booleans(),
)
@settings(max_examples=200, deadline=None)
def test_any_single_level_gets_a_usable_plan(shape, dtype, rgb):
    if rgb:
        shape = [*shape[:2], 3]

    plan = plan_display([tuple(shape)], np.dtype(dtype), rgb=rgb)

    shapes = [level.shape for level in plan.levels]
    assert shapes[0] == tuple(shape)
    for finer, coarser in itertools.pairwise(shapes):
        assert math.prod(coarser) < math.prod(finer)
        assert all(1 <= c <= f for f, c in zip(finer, coarser, strict=True))
    assert not rgb or all(s[-1] == 3 for s in shapes)


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ([], "no levels"),
        ([(10, 10), (10, 10)], r"must get smaller .* \(10, 10\) after"),
        ([(10, 10), (5, 11)], r"must get smaller .* \(5, 11\)"),
        ([(10, 10, 3), (5, 5, 2)], "colours"),
    ],
    ids=["none", "equal", "grows", "colours"],
)
def test_levels_that_cannot_be_shown_are_refused(shapes, message):
    rgb = bool(shapes) and len(shapes[0]) == 3
    with pytest.raises(ArgumentError, match=message):
        plan_display(shapes, np.dtype("uint8"), rgb=rgb)
