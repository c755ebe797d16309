"""Passes: which levels are made together, and in which boxes."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_msimage.engines import _level_passes
from napari_msimage.engines._level_passes import PassRequest, plan_passes
from napari_msimage.engines._level_shapes import shapes_below
from napari_msimage.engines._level_tiles import choose_extents
from napari_msimage.engines._pass_layout import choose_layout
from napari_msimage.engines._windows import window_shape


def request_for(source, shapes, channel_axis=0, extents=None, dtype="uint8"):
    """Return a request with the tiles that a plan would choose."""
    source_extents = extents or _default(source, channel_axis)
    request = PassRequest(
        tuple(source),
        tuple(source_extents),
        np.dtype(dtype),
        "mean",
        tuple(shapes),
        (),
        channel_axis,
    )

    def extents_for(shape, wish):
        default = _default(shape, channel_axis)
        return choose_extents(shape, default, source_extents, channel_axis, wish)

    return choose_layout(request, extents_for)[0]


def _default(shape, channel_axis):
    extents = [min(n, 512) for n in shape]
    spatial = [d for d in range(len(shape)) if d != channel_axis]
    for axis in range(len(shape)):
        if axis not in spatial[-2:]:
            extents[axis] = 1
    return tuple(extents)


def n_fragments(request, one, position):
    """Return how many fragments the jobs of a pass write of one level."""
    n = len(one.edges)
    for job in one.jobs:
        streams = 1
        if one.is_split:
            start, stop = job[request.channel_axis]
            extent = request.extents[one.levels[position]][request.channel_axis]
            streams = math.ceil((stop - start) / extent)
        n += streams
    return n


def check(request, passes):
    assert [i for one in passes for i in one.levels] == list(range(len(request.shapes)))
    for one in passes:
        root = request.shapes[one.levels[0]]
        boxes = [*one.jobs, *one.edges]
        # they lie within the root, do not overlap, and cover it
        cells = sum(math.prod(window_shape(box)) for box in boxes)
        assert cells == math.prod(root)
        assert len(set(boxes)) == len(boxes)
        for a, b in zip(*np.triu_indices(len(boxes), 1), strict=True):
            lows = zip(boxes[a], boxes[b], strict=True)
            assert any(p[1] <= q[0] or q[1] <= p[0] for p, q in lows)
        for box in boxes:
            assert all(0 <= p < q <= n for (p, q), n in zip(box, root, strict=True))
        for position in range(one.n_streamed):
            shape = request.shapes[one.levels[position]]
            extents = request.extents[one.levels[position]]
            assert n_fragments(request, one, position) <= one.n_fragments
            factors = [n // m for n, m in zip(root, shape, strict=True)]
            for box in one.jobs:
                ends = zip(box, factors, extents, root, strict=True)
                for (p, q), f, e, n in ends:
                    assert p % (f * e) == 0
                    assert q % (f * e) == 0 or (one.in_pieces and q == n)
        assert one.edges == () or one.n_streamed == len(one.levels) == 1


def within_bounds(passes):
    """Tell whether a run takes at most 224 MiB with one thread, and 63 fragments."""
    return all(
        one.job_bytes <= one.most_bytes <= 176 * 2**20 and one.n_fragments < 64
        for one in passes
    )


class TestTissue:
    def test_levels_of_one_image_share_a_pass(self):
        source = (3, 16384, 16384)
        request = request_for(source, shapes_below(source, (1, 2, 2), 5))
        (one,) = plan_passes(request)

        check(request, (one,))
        assert one.n_streamed == 2
        assert one.band_axis == 1
        assert len(one.jobs) >= 12

    @pytest.mark.parametrize("side", [16384, 65536, 262144, 1_000_000])
    def test_memory_of_a_job_does_not_depend_on_the_size(self, side):
        source = (3, side, side)
        n_levels = math.ceil(math.log2(side / 512))
        request = request_for(source, shapes_below(source, (1, 2, 2), n_levels))
        passes = plan_passes(request)

        check(request, passes)
        assert max(one.job_bytes for one in passes) <= 64 * 2**20

    def test_an_odd_size_needs_no_edges(self):
        source = (3, 16381, 16411)
        request = request_for(source, shapes_below(source, (1, 2, 2), 5))
        passes = plan_passes(request)

        check(request, passes)
        assert len(passes) == 1
        assert not passes[0].edges

    def test_channels_that_share_tiles_are_made_together(self):
        source = (3, 30000, 30000)
        request = request_for(
            source, shapes_below(source, (1, 2, 2), 4), extents=(3, 512, 512)
        )
        passes = plan_passes(request)

        check(request, passes)
        assert passes[0].is_split
        assert passes[0].step[0] == 3

    @pytest.mark.parametrize(
        ("source", "extents", "channel_axis"),
        [
            ((3, 16384, 16384), (1, 512, 512), 0),
            ((3, 16381, 16411), (1, 512, 512), 0),
            ((3, 16384, 16384), (3, 512, 512), 0),
            ((16384, 16384, 3), (512, 512, 3), 2),
            ((3, 65536, 65536), (3, 128, 128), 0),
        ],
    )
    def test_ordinary_images_take_the_usual_way(self, source, extents, channel_axis):
        factors = tuple(1 if d == channel_axis else 2 for d in range(3))
        request = request_for(
            source, shapes_below(source, factors, 5), channel_axis, extents
        )
        (one,) = plan_passes(request)

        assert one.snap == ()
        assert not one.in_pieces
        assert len(one.jobs) >= 12
        assert one.n_decoded < 1.2

    def test_channels_last(self):
        source = (30000, 30001, 3)
        request = request_for(
            source, shapes_below(source, (2, 2, 1), 4), 2, extents=(512, 512, 3)
        )
        passes = plan_passes(request)

        check(request, passes)
        assert passes[0].band_axis == 0
        assert all(box[2] == (0, 3) for box in passes[0].jobs)

    def test_shapes_that_do_not_nest_get_passes_of_their_own(self):
        request = request_for((8000, 8000), [(7919, 7907), (4000, 3989)], None)
        passes = plan_passes(request)

        check(request, passes)
        assert len(passes) == 2
        assert passes[0].edges


class TestManyChannels:
    """Tiles of the source hold many channels: tiledbsoma's are 128 along each axis."""

    @pytest.mark.parametrize(
        ("source", "extents", "channel_axis", "dtype"),
        [
            ((64, 3000, 3001), (64, 128, 128), 0, "uint8"),
            ((300, 5000, 5000), (128, 128, 128), 0, "float32"),
            ((40, 40000, 40000), (40, 128, 128), 0, "uint16"),
            ((47, 20000, 20000), (47, 128, 128), 0, "uint16"),
            ((131, 4000, 4001), (128, 128, 128), 0, "float32"),
            ((2000, 1000, 1000), (128, 128, 128), 0, "float32"),
            ((3000, 3001, 40), (128, 128, 40), 2, "uint8"),
            ((20000, 20001, 40), (128, 128, 40), 2, "uint16"),
            ((5000, 5000, 300), (128, 128, 128), 2, "float32"),
            ((20000, 40, 20001), (128, 40, 128), 1, "uint16"),
            ((64, 30, 3000, 3001), (16, 16, 16, 16), 0, "uint16"),
            ((61, 150_001, 150_003), (61, 128, 128), 0, "uint16"),
        ],
    )
    def test_take_bounded_memory_fragments_and_decodings(
        self, source, extents, channel_axis, dtype
    ):
        factors = tuple(1 if d == channel_axis else 2 for d in range(len(source)))
        request = request_for(
            source, shapes_below(source, factors, 4), channel_axis, extents, dtype
        )
        passes = plan_passes(request)

        check(request, passes)
        assert within_bounds(passes)
        assert max(one.n_decoded for one in passes) <= 4.5

    def test_small_images_keep_a_channel_per_tile(self):
        source = (100, 1500, 1500)
        request = request_for(
            source, shapes_below(source, (1, 2, 2), 2), 0, (100, 128, 128)
        )
        assert [extents[0] for extents in request.extents] == [1, 1]

    @pytest.mark.parametrize("n_channels", [1, 2, 40, 41, 61, 97, 128, 300, 503])
    @pytest.mark.parametrize("side", [1000, 7919, 60_000])
    @pytest.mark.parametrize("last", [False, True], ids=["first", "last"])
    def test_any_number_of_them(self, n_channels, side, last):
        source = (side, side + 2, n_channels) if last else (n_channels, side, side + 2)
        axis = 2 if last else 0
        factors = (2, 2, 1) if last else (1, 2, 2)
        extents = tuple(min(n, 128) for n in source)
        request = request_for(source, shapes_below(source, factors, 5), axis, extents)
        passes = plan_passes(request)

        check(request, passes)
        assert within_bounds(passes)


class TestVolumes:
    def test_large_planes_are_not_piled_up_in_memory(self):
        source = (400, 9000, 8000)
        request = request_for(source, shapes_below(source, (2, 2, 2), 4), None)
        passes = plan_passes(request)

        check(request, passes)
        assert max(one.job_bytes for one in passes) <= 64 * 2**20

    def test_kept_planes_share_a_pass(self):
        source = (2, 60, 9000, 8000)
        request = request_for(source, shapes_below(source, (1, 1, 2, 2), 4))
        passes = plan_passes(request)

        check(request, passes)
        assert len(passes) == 1


@pytest.mark.parametrize(
    ("source", "extents", "channel_axis", "dtype"),
    [
        ((256, 1000, 1001), (128, 128, 128), None, "float64"),
        ((2, 200, 8000, 8000), (1, 16, 512, 512), 0, "uint16"),
        ((255, 999, 1001), (128, 128, 128), None, "float64"),
        ((500, 2001, 2003), (128, 128, 128), None, "float64"),
        ((300, 5000, 5000), (128, 128, 128), None, "float32"),
        ((3, 8000, 8001), (128, 128, 128), 0, "uint8"),
        ((60, 3000, 3000), (60, 128, 128), None, "uint8"),
    ],
)
def test_deep_tiles_are_not_decoded_again_and_again(
    source, extents, channel_axis, dtype
):
    factors = tuple(1 if d == channel_axis else 2 for d in range(len(source)))
    request = request_for(
        source, shapes_below(source, factors, 4), channel_axis, extents, dtype
    )
    passes = plan_passes(request)

    check(request, passes)
    assert within_bounds(passes)
    for one in passes:
        assert one.n_decoded <= 4.5


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_boxes_cover_every_level_once(data):
    ndim = data.draw(st.integers(1, 4), "ndim")
    channel_axis = data.draw(st.sampled_from([None, *range(ndim)]), "channel axis")
    if ndim == 1:
        channel_axis = None
    sides = st.integers(1, 60_000 if ndim < 3 else 6000)
    source = [data.draw(sides, "side") for _ in range(ndim)]
    if channel_axis is not None:
        source[channel_axis] = data.draw(st.integers(1, 120), "channels")
    factors = [
        1 if axis == channel_axis else data.draw(st.sampled_from([1, 2, 3]), "factor")
        for axis in range(ndim)
    ]
    shapes = shapes_below(tuple(source), tuple(factors), data.draw(st.integers(1, 6)))
    if data.draw(st.booleans(), "odd"):
        shapes = [
            tuple(
                n if axis == channel_axis or n < 9 else n - data.draw(st.integers(0, 3))
                for axis, n in enumerate(shape)
            )
            for shape in shapes
        ]
    shapes = [shape for i, shape in enumerate(shapes) if shape not in shapes[:i]]
    if not shapes:
        return
    extents = None
    if data.draw(st.booleans(), "source of tiledbsoma"):
        extents = tuple(min(n, 128) for n in source)
    request = request_for(
        source,
        shapes,
        channel_axis,
        extents,
        data.draw(st.sampled_from(["uint8", "float64"]), "dtype"),
    )
    passes = plan_passes(request)
    check(request, passes)
    assert all(one.n_fragments < 64 for one in passes)


def test_small_levels_are_kept_in_memory(monkeypatch):
    source = (3, 4096, 4096)
    request = request_for(source, shapes_below(source, (1, 2, 2), 3))
    assert request.n_in_memory == 3
    monkeypatch.setattr(_level_passes, "MEMORY_BYTES", 4 * 2**20)
    assert request.n_in_memory == 2
    monkeypatch.setattr(_level_passes, "MEMORY_BYTES", 0)
    assert request.n_in_memory == 0
