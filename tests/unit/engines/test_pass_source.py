"""Sources with costly tiles: blocks that end at tiles, each of which is read once."""

from __future__ import annotations

import itertools
import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_msimage.engines._downsample import Downsampler
from napari_msimage.engines._pass_source import (
    SourceTiles,
    block_ranges,
    longest_block,
)
from napari_msimage.engines._windows import window_shape, window_slices


class SpiedLevel:
    """Pixels that note which tiles are touched."""

    def __init__(self, pixels, extents):
        self.pixels, self.dtype = pixels, pixels.dtype
        self.extents = extents
        self.touched = []

    def read(self, window, out=None):
        assert all(
            0 <= a < b <= n for (a, b), n in zip(window, self.pixels.shape, strict=True)
        )
        tiles = [
            range(a // e, -(-b // e))
            for (a, b), e in zip(window, self.extents, strict=True)
        ]
        self.touched += itertools.product(*tiles)
        found = self.pixels[window_slices(window)]
        if out is None:
            return found
        assert out.flags.c_contiguous
        out[...] = found
        return out


@given(data=st.data())
def test_blocks_cover_a_range_and_end_before_tiles(data):
    coarse = data.draw(st.integers(1, 8), "coarse")
    m = coarse * data.draw(st.integers(1, 60), "size of the root / coarse")
    n = m + data.draw(st.integers(0, 4 * m), "more of the source")
    start = coarse * data.draw(st.integers(0, m // coarse - 1), "start")
    stop = coarse * data.draw(st.integers(start // coarse + 1, m // coarse), "stop")
    extent = data.draw(st.integers(1, n), "extent")
    least = -(-coarse * n // (m * extent)) * extent
    snap = data.draw(st.sampled_from([0, least, 2 * least]), "snap")
    step = coarse * data.draw(st.integers(1, 20), "step")

    ranges = block_ranges((start, stop), step, snap, (n, m), coarse)

    assert ranges[0][0] == start
    assert ranges[-1][1] == stop
    assert all(a[1] == b[0] for a, b in itertools.pairwise(ranges))
    assert all(a < b and a % coarse == 0 for a, b in ranges)
    most = longest_block(step, snap, (n, m), coarse, stop - start)
    assert max(b - a for a, b in ranges) <= most
    for _, end in ranges[:-1] if snap else []:
        # up to the border of tiles, less what a pixel of the coarsest level needs
        border = -(-end * n // m) // -snap * -snap
        assert border - end * n / m <= coarse * n / m


@settings(deadline=None)
@given(data=st.data())
def test_pixels_are_those_of_the_source_and_tiles_are_read_once(data):
    ndim = data.draw(st.integers(1, 3), "axes")
    coarse, root, source, extents, snap = [], [], [], [], []
    for _ in range(ndim):
        coarse.append(data.draw(st.sampled_from([1, 2, 4]), "coarse"))
        root.append(coarse[-1] * data.draw(st.integers(1, 8), "units"))
        source.append(root[-1] + data.draw(st.integers(0, 2 * root[-1]), "more"))
        extents.append(data.draw(st.integers(1, source[-1]), "extent"))
        least = -(-coarse[-1] * source[-1] // (root[-1] * extents[-1])) * extents[-1]
        snap.append(data.draw(st.sampled_from([least, least, 0]), "snap"))
    box = []
    for c, m in zip(coarse, root, strict=True):
        low = data.draw(st.integers(0, m // c - 1), "low")
        box.append((c * low, c * data.draw(st.integers(low + 1, m // c), "high")))
    pixels = np.arange(math.prod(source), dtype="int32").reshape(source)
    level = SpiedLevel(pixels, extents)
    shapes = [root, [m // c for m, c in zip(root, coarse, strict=True)]]
    downsampler = Downsampler("mean", pixels.dtype, source, shapes)
    window = downsampler.source_box(tuple(box))
    tiles = SourceTiles(
        level,
        tuple(extents),
        [k > 0 for k in snap],
        [n % m > 0 for n, m in zip(source, root, strict=True)],
        window,
    )
    sizes = zip(source, root, strict=True)
    steps = [2 * c for c in coarse]
    ranges = list(map(block_ranges, box, steps, snap, sizes, coarse))

    for block in itertools.product(*ranges):
        wanted = downsampler.source_box(block)
        found = tiles.read(wanted)
        assert found.shape == window_shape(wanted)
        np.testing.assert_array_equal(found, pixels[window_slices(wanted)])

    expected = 1
    for axis, (a, b) in enumerate(window):
        if snap[axis]:
            expected *= -(-b // extents[axis]) - a // extents[axis]
        else:
            ends = [
                downsampler.source_box(
                    tuple(r if d == axis else box[d] for d in range(ndim))
                )[axis]
                for r in ranges[axis]
            ]
            expected *= sum(
                -(-q // extents[axis]) - p // extents[axis] for p, q in ends
            )
    assert len(level.touched) == expected
    assert not tiles._kept
