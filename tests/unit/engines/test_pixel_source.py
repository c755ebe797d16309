"""Reading boxes of sources: uneven chunks of dask, errors, threads, memory."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import dask.array as da
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_msimage.coordinates import CoordinateSpace
from napari_msimage.engines import ImageToWrite, run, write_store
from napari_msimage.engines._pixel_source import BoxReader, GivenLevel
from napari_msimage.engines._pixel_source_chunks import UnevenChunks
from napari_msimage.errors import ArgumentError, StorageError
from napari_msimage.storage import MultiscaleImage

SIZES = st.lists(st.integers(1, 9), min_size=1, max_size=5)


def counted(chunks, computed, wait=lambda: None):
    """Return a dask array that counts how often each chunk is computed."""

    def make(block_info=None):
        place = block_info[None]["array-location"]
        wait()
        computed[tuple(a for a, _ in place)] += 1
        grid = np.ix_(*(np.arange(a, b) for a, b in place))
        return sum(k * axis for k, axis in enumerate(grid, 3)).astype("i4")

    return da.map_blocks(make, chunks=chunks, dtype="i4", meta=np.empty(0, "i4"))


@settings(deadline=None, max_examples=60)
@given(rows=SIZES, columns=SIZES, height=st.integers(1, 9), width=st.integers(1, 9))
def test_tiles_of_uneven_chunks_are_those_of_the_array(rows, columns, height, width):
    computed = Counter()
    lazy = counted((tuple(rows), tuple(columns)), computed)
    whole = lazy.compute()
    computed.clear()
    reader = UnevenChunks(lazy)
    for top in range(0, whole.shape[0], height):
        for left in range(0, whole.shape[1], width):
            box = (
                slice(top, min(top + height, whole.shape[0])),
                slice(left, min(left + width, whole.shape[1])),
            )
            np.testing.assert_array_equal(reader.read(box), whole[box])
    assert set(computed.values()) == {1}
    assert not reader._kept
    assert not reader._n_unread


@pytest.mark.parametrize(
    ("chunks", "is_needed"),
    [
        (((5, 5, 5), (4, 4)), False),
        (((5, 5, 2), (4,)), False),
        (((2, 5, 5), (4,)), True),
        (((5, 3, 5), (4,)), True),
        (((5, 7), (4,)), True),
    ],
)
def test_only_uneven_chunks_are_kept(chunks, is_needed):
    assert UnevenChunks.is_needed(counted(chunks, Counter())) == is_needed
    assert not UnevenChunks.is_needed(np.zeros((5, 5)))


def test_what_is_kept_is_bounded():
    computed = Counter()
    lazy = counted(((4, 9, 9, 9, 9), (300, 400)), computed)
    reader = UnevenChunks(lazy, kept_bytes=1)
    most = 2 * 9 * 400 * 4
    for row in range(40):
        reader.read((slice(row, row + 1), slice(0, 700)))
        assert sum(f.result().nbytes for f in reader._kept.values()) <= most
    assert set(computed.values()) == {1}


def test_threads_that_want_one_chunk_wait_for_each_other():
    computed = Counter()
    busy = threading.Event()
    lazy = counted(((4, 9), (300, 400)), computed, lambda: busy.wait(0.2))
    reader = BoxReader(lazy)
    boxes = [(slice(row, row + 1), slice(0, 700)) for row in range(13)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(reader.read, boxes))
    assert set(computed.values()) == {1}
    np.testing.assert_array_equal(np.concatenate(found), lazy.compute())


def test_a_failing_chunk_fails_for_all_and_is_tried_again():
    is_broken = [True]

    def wait():
        if is_broken[0]:
            raise OSError("the drive is gone")

    lazy = counted(((4, 9), (5,)), Counter(), wait)
    level = GivenLevel("level 'a'", lazy, np.dtype("i4"))
    for _ in range(2):
        with pytest.raises(StorageError, match="the drive is gone"):
            level.read(((3, 5), (0, 5)))
    is_broken[0] = False
    expected = lazy.compute()[3:5]
    np.testing.assert_array_equal(level.read(((3, 5), (0, 5))), expected)


def test_chunks_of_another_shape_than_they_claim_are_told():
    lazy = da.map_blocks(
        lambda: np.zeros((2, 2), "i4"),
        chunks=((4, 9), (5,)),
        dtype="i4",
        meta=np.empty((0, 0), "i4"),
    )
    level = GivenLevel("level 'a'", lazy, np.dtype("i4"))
    with pytest.raises((ArgumentError, StorageError), match="level 'a'"):
        level.read(((3, 5), (0, 5)))


def test_of_chunks_too_large_to_be_kept_more_is_read_at_once():
    computed = Counter()
    lazy = counted(((4, 9), (300, 400, 400)), computed)
    reader = UnevenChunks(lazy, kept_bytes=1)
    found = [
        reader.read((slice(row, row + 1), slice(left, left + 1000)))
        for left in (0, 100)
        for row in range(13)
    ]
    assert set(computed.values()) == {2}
    whole = lazy.compute()
    np.testing.assert_array_equal(np.concatenate(found[:13]), whole[:, :1000])
    np.testing.assert_array_equal(np.concatenate(found[13:]), whole[:, 100:])


def test_other_array_likes_are_read_by_one_thread_at_a_time():
    class Fragile:
        shape, dtype, busy = (40, 5), np.dtype("u1"), False

        def __getitem__(self, key):
            assert not self.busy
            Fragile.busy = True
            part = np.zeros(self.shape, self.dtype)[key]
            Fragile.busy = False
            return part

    reader = BoxReader(Fragile())
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda i: reader.read((slice(i, i + 1),)), range(40)))
    assert np.concatenate(found).shape == (40, 5)


# Whole images


def uneven(rng, n, low, high):
    """Return chunk sizes along an axis, no two alike but by chance."""
    sizes = []
    while sum(sizes) < n:
        sizes.append(min(n - sum(sizes), int(rng.integers(low, high))))
    return tuple(sizes)


UNEVEN = {
    "random": lambda rng: (uneven(rng, 3000, 200, 900), uneven(rng, 2600, 200, 900)),
    "cropped": lambda rng: ((300, *(1000,) * 4), (700, *(1000,) * 4)),
    "long last": lambda rng: ((100, 100, 300), (1300, 200, 1100)),
    "volume": lambda rng: (
        uneven(rng, 40, 1, 7), uneven(rng, 900, 100, 500), uneven(rng, 900, 100, 500)
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", UNEVEN)
def test_uneven_chunks_are_computed_once(tmp_path, kind):
    computed = Counter()
    chunks = UNEVEN[kind](np.random.default_rng(0))
    lazy = counted(chunks, computed)
    order = ("z", "y", "x")[-len(chunks) :]
    space = CoordinateSpace.from_axis_names(order[::-1])
    uri = str(tmp_path / "image.soma")
    run(write_store(uri, ImageToWrite((lazy,), space, order)))
    assert set(computed.values()) == {1}
    with MultiscaleImage.open(uri) as stored:
        np.testing.assert_array_equal(stored["level0"].read(), lazy.compute())
