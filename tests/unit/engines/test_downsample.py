"""Downsampled levels equal their definition on the source, in whatever blocks."""

from __future__ import annotations

import itertools
import math
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from typing import get_args

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_msimage.engines import (
    _axis_ratio,
    _downsample,
    _window_vote,
)
from napari_msimage.engines._downsample import METHODS, Downsampler, Method
from napari_msimage.errors import ArgumentError, ArgumentTypeError

INTEGERS = [f"{kind}int{bits}" for kind in ("", "u") for bits in (8, 16, 32, 64)]
FLOATS = ["float32", "float64"]
MAX_PIXELS = 1500


# the definition, slowly


def shares(n_in, n_out, k):
    """Touched source pixels of output k, with covered lengths in 1 / n_out."""
    low, high = k * n_in, (k + 1) * n_in
    return {
        i: min(high, (i + 1) * n_out) - max(low, i * n_out)
        for i in range(low // n_out, -(-high // n_out))
    }


def rounded(value, dtype):
    """Round a Fraction to the type of the pixels."""
    if dtype.kind in "iu":
        return math.floor(value + Fraction(1, 2))
    return float(value)


def mean_of(values, weights, dtype):
    infinite = {v for v in values if not math.isfinite(v)}
    if infinite:
        return infinite.pop() if len(infinite) == 1 else math.nan
    total = sum(Fraction(v) * w for v, w in zip(values, weights, strict=True))
    return rounded(total / sum(weights), dtype)


def median_of(values, weights, dtype):
    half = Fraction(sum(weights), 2)
    return min(
        v
        for v in values
        if sum(w for u, w in zip(values, weights, strict=True) if u <= v) >= half
    )


def mode_of(values, weights, dtype):
    totals = {}
    for v, w in zip(values, weights, strict=True):
        totals[v] = totals.get(v, 0) + w
    return min(v for v in totals if totals[v] == max(totals.values()))


ELECT = {
    "mean": mean_of,
    "median": median_of,
    "mode": mode_of,
    "min": lambda values, weights, dtype: min(values),
    "max": lambda values, weights, dtype: max(values),
}


def by_definition(method, pixels, origin, source_shape, shape, box):
    """Make a box of a level; pixels begin at the origin within the source."""
    out = np.empty([stop - start for start, stop in box], pixels.dtype)
    for index in np.ndindex(out.shape):
        k = [i + start for i, (start, _) in zip(index, box, strict=True)]
        axes = list(zip(source_shape, shape, k, strict=True))
        if method == "stride":
            at = [-(-((2 * i + 1) * n) // (2 * m)) - 1 for n, m, i in axes]
            at = [i - o for i, o in zip(at, origin, strict=True)]
            out[index] = pixels[tuple(at)]
            continue
        values, weights = [], []
        for touched in itertools.product(*(shares(*axis).items() for axis in axes)):
            at = [i - o for (i, _), o in zip(touched, origin, strict=True)]
            value = pixels[tuple(at)].item()
            if value == value:
                values.append(value)
                weights.append(math.prod(weight for _, weight in touched))
        out[index] = (
            ELECT[method](values, weights, pixels.dtype) if values else math.nan
        )
    return out


def assert_equals_definition(method, made, expected, pixels):
    assert made.dtype == expected.dtype
    assert made.shape == expected.shape
    if method != "mean" or made.dtype.kind != "f":
        np.testing.assert_array_equal(made, expected)
        return
    largest = np.abs(pixels[np.isfinite(pixels)]).max(initial=0).astype(float)
    # Denormal numbers have an absolute precision.
    rtol, tiny = (1e-6, 1e-44) if made.dtype == np.float32 else (1e-14, 1e-319)
    np.testing.assert_allclose(
        made.astype(float), expected, rtol=rtol, atol=largest * rtol / 4 + tiny
    )


# random geometries and pixels


@st.composite
def axis_sizes(draw, n_levels, most):
    """Draw the sizes of an axis: source, then every level."""
    if most < 2 or draw(st.integers(0, 5)) == 0:
        kept = draw(st.integers(1, min(3, most)))
        return [kept] * (n_levels + 1)
    sizes = [draw(st.integers(1, 3))]
    for _ in range(n_levels - 1):
        sizes.insert(0, sizes[0] * draw(st.sampled_from([1, 2, 2, 3])))
    while sizes[0] > most:
        sizes = [max(1, size // sizes[-1] if sizes[-1] > 1 else 1) for size in sizes]
    root = sizes[0]
    ratio = draw(st.sampled_from(["whole", "101/51", "2-", "2+", "1+", "7.3", "any"]))
    source = {
        "whole": root * draw(st.integers(1, 4)),
        "101/51": -(-root * 101 // 51),
        "2-": 2 * root - 1,
        "2+": 2 * root + 1,
        "1+": root + 1,
        "7.3": int(root * 7.3),
        "any": root + draw(st.integers(0, 3 * root)),
    }[ratio]
    return [max(root, min(source, most)), *sizes]


@st.composite
def geometries(draw):
    """Draw a source shape and level shapes."""
    n_axes, n_levels = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    most, axes = MAX_PIXELS, []
    for left in range(n_axes, 0, -1):
        axes.append(draw(axis_sizes(n_levels, int(most ** (1 / left)) + 1)))
        most //= axes[-1][0]
    axes = draw(st.permutations(axes))
    source, *levels = (tuple(sizes) for sizes in zip(*axes, strict=True))
    return source, levels


def random_pixels(shape, dtype, seed):
    """Make pixels: any, extreme, few values or flat areas; NaN and inf in floats."""
    rng, dtype = np.random.default_rng(seed), np.dtype(dtype)
    size = math.prod(shape)
    if dtype.kind == "f":
        huge = {4: 3.4e38, 8: 1.7e308}[dtype.itemsize]
        special = [0.0, -0.0, huge, -huge, 1.5, np.inf, -np.inf, 5e-324, 1e-300]
        plain = rng.normal(0, 100, size)
    else:
        info = np.iinfo(dtype)
        special = [0, 1, info.max, info.min, info.max - 1, info.min + 1, info.max // 2]
        plain = rng.integers(info.min, info.max, size, dtype, endpoint=True)
    few = np.array(special[: rng.integers(2, len(special) + 1)], dtype)
    pixels = [
        plain.astype(dtype),
        rng.choice(few, size),
        np.where(rng.random(size) < 0.5, plain.astype(dtype), few[0]),
        np.repeat(rng.choice(few, size), 5)[:size],
        rng.integers(0, 3, size).astype(dtype),
    ][rng.integers(5)]
    if dtype.kind == "f" and rng.random() < 0.6:
        pixels[rng.random(size) < rng.choice([0.02, 0.4, 0.95])] = np.nan
    return pixels.reshape(shape)


def relaid(pixels, seed):
    """Return the same pixels in another memory layout."""
    roomy = np.empty([2 * n + 1 for n in pixels.shape], pixels.dtype)
    strided = roomy[tuple(slice(1, None, 2) for _ in pixels.shape)]
    strided[...] = pixels
    return [pixels, np.asfortranarray(pixels), strided][seed % 3]


def random_box(root, coarsest, seed):
    """Draw a box of the root that is aligned to the coarsest level."""
    rng = np.random.default_rng(seed)
    box = []
    for n, m in zip(root, coarsest, strict=True):
        start, stop = sorted(rng.choice(m + 1, 2, replace=False).tolist())
        box.append((start * (n // m), stop * (n // m)))
    return tuple(box)


def level_boxes(levels, box):
    """Return the same area in every level."""
    return [
        tuple(
            (start * m // n, stop * m // n)
            for (start, stop), n, m in zip(box, levels[0], shape, strict=True)
        )
        for shape in levels
    ]


def whole(shape):
    return tuple((0, n) for n in shape)


def cut(pixels, box):
    return pixels[tuple(slice(*ends) for ends in box)]


seeds = st.integers(0, 2**32 - 1)
thorough = settings(
    max_examples=120,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


# the tests


@pytest.mark.parametrize("method", METHODS)
@given(geometries(), st.sampled_from(INTEGERS + FLOATS), seeds)
@thorough
def test_levels_equal_the_definition(method, geometry, dtype, seed):
    source, levels = geometry
    pixels = random_pixels(source, dtype, seed)

    made = Downsampler(method, pixels.dtype, source, levels).downsample(
        relaid(pixels, seed), whole(levels[0])
    )

    for level, shape in zip(made, levels, strict=True):
        expected = by_definition(
            method, pixels, (0,) * len(source), source, shape, whole(shape)
        )
        assert_equals_definition(method, level, expected, pixels)


@pytest.mark.parametrize("method", METHODS)
@given(geometries(), st.sampled_from(INTEGERS + FLOATS * 4), seeds)
@thorough
def test_blocks_have_the_bytes_of_the_whole(method, geometry, dtype, seed):
    source, levels = geometry
    pixels = random_pixels(source, dtype, seed)
    downsampler = Downsampler(method, pixels.dtype, source, levels)
    box = random_box(levels[0], levels[-1], seed)

    block = downsampler.downsample(
        relaid(cut(pixels, downsampler.source_box(box)), seed), box
    )

    of_whole = downsampler.downsample(pixels, whole(levels[0]))
    for part, level, at in zip(block, of_whole, level_boxes(levels, box), strict=True):
        assert part.tobytes() == cut(level, at).tobytes()


@pytest.mark.parametrize(
    ("module", "name", "value"),
    [
        pytest.param(_downsample, "_PIECE_BYTES", 40, id="small pieces"),
        pytest.param(_window_vote, "_VOTE_BYTES", 500, id="few windows at once"),
        pytest.param(_window_vote, "_MAX_PLANES", 0, id="windows in rows"),
        pytest.param(_window_vote, "_MAX_PLANES", 10**6, id="windows in planes"),
        pytest.param(_axis_ratio, "_MIN_SEGMENT", 0, id="slices only"),
        pytest.param(_axis_ratio, "_MIN_SEGMENT", 10**6, id="gathers only"),
    ],
)
@pytest.mark.parametrize("method", METHODS)
@given(geometries(), st.sampled_from(INTEGERS + FLOATS * 3), seeds)
@settings(thorough, max_examples=25)
def test_every_way_gives_the_same_bytes(
    module, name, value, method, geometry, dtype, seed
):
    source, levels = geometry
    pixels = random_pixels(source, dtype, seed)

    def make():
        downsampler = Downsampler(method, pixels.dtype, source, levels)
        return downsampler.downsample(pixels, whole(levels[0]))

    usual = make()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, name, value)
        other = make()

    for a, b in zip(usual, other, strict=True):
        assert a.tobytes() == b.tobytes()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("source_shape", "root", "n_levels"),
    [
        pytest.param((16381, 16411), (8192, 8206), 2, id="near 2"),
        pytest.param((10100, 40960), (5100, 20480), 3, id="101/51 and 2"),
        pytest.param((2**40 - 1, 3**25), (2**30, 2**20), 1, id="far out"),
    ],
)
@pytest.mark.parametrize("dtype", ["uint8", "int64", "float64"])
def test_small_block_of_a_huge_source(method, source_shape, root, n_levels, dtype):
    levels = [tuple(n >> i for n in root) for i in range(n_levels)]
    coarsest = levels[-1]
    if root[0] == 2**30:
        source_shape = (root[0] * 2 - 1, root[1] * 3 - 1)
    downsampler = Downsampler(method, np.dtype(dtype), source_shape, levels)
    for at in (0, 3, -3):
        starts = [(at % m if at < 0 else m // 2 * (at > 0)) for m in coarsest]
        box = tuple(
            (s * (n // m), min(s + 3, m) * (n // m))
            for s, n, m in zip(starts, root, coarsest, strict=True)
        )
        source_box = downsampler.source_box(box)
        shape = [stop - start for start, stop in source_box]
        pixels = random_pixels(shape, dtype, abs(at))

        made = downsampler.downsample(pixels, box)

        origin = [start for start, _ in source_box]
        for level, n, part in zip(made, levels, level_boxes(levels, box), strict=True):
            expected = by_definition(method, pixels, origin, source_shape, n, part)
            assert_equals_definition(method, level, expected, pixels)


@given(
    st.sampled_from(INTEGERS),
    st.lists(st.sampled_from([(16381, 8192), (12289, 8191), (97, 89)]), max_size=4),
    seeds,
)
@settings(thorough, max_examples=60)
def test_integers_are_exact_where_sums_exceed_64_bits(dtype, axes, seed):
    source, root = zip(*axes, (5, 2), strict=True)
    downsampler = Downsampler("mean", np.dtype(dtype), source, [root])
    rng = np.random.default_rng(seed)
    starts = [int(rng.integers(n)) for n in root]
    box = tuple((s, min(s + 2, n)) for s, n in zip(starts, root, strict=True))
    source_box = downsampler.source_box(box)
    pixels = random_pixels([stop - start for start, stop in source_box], dtype, seed)

    (made,) = downsampler.downsample(pixels, box)

    origin = [start for start, _ in source_box]
    expected = by_definition("mean", pixels, origin, source, root, box)
    np.testing.assert_array_equal(made, expected)


def test_areas_beyond_all_limbs_are_refused():
    sizes, root = (2**31 - 1,) * 3, (2**30,) * 3
    for method in ("mean", "mode", "median"):
        with pytest.raises(ArgumentError, match=r"below 2\*\*62"):
            Downsampler(method, np.dtype("uint8"), sizes, [root])
    Downsampler("mean", np.dtype("float32"), sizes, [root])


@pytest.mark.parametrize(
    ("pixels", "mean"),
    [
        ([-1, 0], 0),
        ([-2, -1], -1),
        ([0, 1], 1),
        ([-(2**63), 1 - 2**63], 1 - 2**63),
        ([2**63 - 1, 2**63 - 2], 2**63 - 1),
        ([2**63 - 1, -(2**63)], 0),
    ],
)
def test_halves_are_rounded_upwards(pixels, mean):
    downsampler = Downsampler("mean", np.dtype("int64"), (2,), [(1,)])

    (made,) = downsampler.downsample(np.array(pixels, np.int64), ((0, 1),))

    assert made.tolist() == [mean]


@pytest.mark.parametrize("value", [1.7e308, np.finfo(np.float64).max, -1.7e308])
@pytest.mark.parametrize("shape", [(2, 2), (3, 7), (49, 12)])
def test_mean_of_the_largest_floats_is_finite(value, shape):
    downsampler = Downsampler("mean", np.dtype("float64"), shape, [(1, 1)])

    (made,) = downsampler.downsample(np.full(shape, value), ((0, 1), (0, 1)))

    np.testing.assert_allclose(made, value, rtol=1e-14)


def test_infinity_beside_an_area_does_not_reach_it():
    # 101 / 51: each output ends within a pixel, the last one at a pixel's end.
    pixels = np.ones(101 * 2)
    pixels[101:] = np.inf
    downsampler = Downsampler("mean", pixels.dtype, (202,), [(102,), (2,)])

    made = downsampler.downsample(pixels, ((0, 102),))

    np.testing.assert_allclose(made[0], np.repeat([1, np.inf], 51), rtol=1e-14)
    np.testing.assert_allclose(made[1], [1, np.inf], rtol=1e-14)


def test_opposite_infinities_have_no_mean():
    downsampler = Downsampler("mean", np.dtype("float32"), (4,), [(2,), (1,)])
    pixels = np.array([np.inf, -np.inf, np.inf, 1], np.float32)

    fine, coarse = downsampler.downsample(pixels, ((0, 2),))

    np.testing.assert_array_equal(fine, np.float32([np.nan, np.inf]))
    np.testing.assert_array_equal(coarse, np.float32([np.nan]))


@pytest.mark.parametrize("dtype", FLOATS)
def test_zeros_of_both_signs_are_one_value(dtype):
    # Windows of 4.5 pixels: zero weighs 2, five 1.5.
    pixels = np.array([-0.0, 0.0, 7, 5, 5, 1, 1, 1, 1], dtype)
    downsampler = Downsampler("mode", pixels.dtype, (9,), [(2,)])

    (mode,) = downsampler.downsample(pixels, ((0, 2),))

    assert mode.tolist() == [0, 1]
    assert not np.signbit(mode[0])


@pytest.mark.parametrize("dtype", INTEGERS)
def test_rounding_does_not_overflow_sums(dtype):
    # 257 * 255 just fits 16 bits, 65537 * 65535 just fits 32.
    largest = np.iinfo(dtype).max
    for n in (257, 65537):
        downsampler = Downsampler("mean", np.dtype(dtype), (n,), [(1,)])
        (made,) = downsampler.downsample(np.full(n, largest, dtype), ((0, 1),))
        assert made.tolist() == [largest]


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("n", [49 * 8, 401])
def test_nan_changes_no_other_area(dtype, n):
    pixels = np.random.default_rng(5).normal(0, 1, n).astype(dtype)
    downsampler = Downsampler("mean", pixels.dtype, (n,), [(8,), (4,)])
    without_nan = downsampler.downsample(pixels, ((0, 8),))
    pixels[-2] = np.nan

    with_nan = downsampler.downsample(pixels, ((0, 8),))

    for a, b in zip(with_nan, without_nan, strict=True):
        assert a[:-1].tobytes() == b[:-1].tobytes()
        assert not np.isnan(a).any()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint64", "float32", "float64"])
@pytest.mark.parametrize(
    ("source", "levels"),
    [
        pytest.param((1400, 1000), [(700, 500), (350, 250)], id="2"),
        pytest.param((1399, 1001), [(700, 500), (350, 250)], id="near 2"),
        pytest.param((3, 700, 730), [(3, 100, 100), (3, 50, 20)], id="7 and 7.3"),
        pytest.param((700, 730, 3), [(610, 600, 3)], id="colours last"),
        pytest.param((2048, 1024), [(1024, 512), (32, 16)], id="coarse"),
        pytest.param((70, 80, 90), [(37, 71, 41)], id="volume"),
    ],
)
def test_working_bytes_are_honest(method, dtype, source, levels):
    pixels = random_pixels(source, dtype, 7)
    if pixels.dtype.kind == "f":
        pixels[..., ::7] = np.nan
    downsampler = Downsampler(method, pixels.dtype, source, levels)
    box = whole(levels[0])
    tracemalloc.start()
    try:
        made = downsampler.downsample(pixels, box)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    estimate = downsampler.working_bytes(box)

    assert sum(level.nbytes for level in made) <= peak <= estimate
    assert estimate <= 4 * peak + 2**20


@pytest.mark.parametrize("method", ["mode", "median"])
def test_votes_of_large_boxes_stay_within_bounds(method):
    source, levels = (2303, 2000), [(1152, 1000), (576, 500)]
    downsampler = Downsampler(method, np.dtype("uint16"), source, levels)

    assert downsampler.working_bytes(whole(levels[0])) < 40 * 2**20


@pytest.mark.parametrize(
    "point",
    [(0, 0), (10016, 7918), (0, 4000), (5008, 3959), (9999, 1), (3333, 7777), (31, 33)],
)
def test_painted_point_stays_in_place(point):
    source = (10017, 7919)
    coarsest = tuple((2 * n + 2**5) // 2**6 for n in source)
    levels = [tuple(n * 2**k for n in coarsest) for k in range(4, -1, -1)]
    downsampler = Downsampler("mean", np.dtype("float64"), source, levels)
    box = []
    for at, n, m in zip(point, source, coarsest, strict=True):
        start = max(0, at * m // n - 1)
        box.append((start * 16, min(start + 3, m) * 16))
    source_box = downsampler.source_box(tuple(box))
    pixels = np.zeros([stop - start for start, stop in source_box])
    pixels[
        tuple(at - start for at, (start, _) in zip(point, source_box, strict=True))
    ] = 1

    made = downsampler.downsample(pixels, tuple(box))

    for level, shape, at in zip(
        made, levels, level_boxes(levels, tuple(box)), strict=True
    ):
        for axis, (start, _) in enumerate(at):
            ratio = Fraction(source[axis], shape[axis])
            centres = np.arange(level.shape[axis]) + start + 0.5
            centroid = np.average(centres, weights=level.sum(axis=1 - axis))
            assert abs(centroid - (point[axis] + 0.5) / ratio) <= 0.5
        np.testing.assert_allclose(
            level.sum() * math.prod(source) / math.prod(shape), 1, rtol=1e-9
        )


@pytest.mark.parametrize("method", METHODS)
def test_threads_share_a_downsampler(method):
    pixels = random_pixels((130, 97), "uint16", 3)
    downsampler = Downsampler(method, pixels.dtype, (130, 97), [(64, 48), (32, 24)])
    boxes = [random_box((64, 48), (32, 24), seed) for seed in range(20)]

    def make(box):
        made = downsampler.downsample(cut(pixels, downsampler.source_box(box)), box)
        return [level.tobytes() for level in made]

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(make, boxes)) == list(map(make, boxes))


def test_methods_are_those_of_the_type():
    assert get_args(Method) == METHODS


@pytest.mark.parametrize("dtype", ["bool", "float16", "complex64", ">u2", "U3"])
def test_other_types_are_refused(dtype):
    with pytest.raises(ArgumentTypeError, match="expected one of int8"):
        Downsampler("mean", np.dtype(dtype), (4,), [(2,)])


@pytest.mark.parametrize(
    ("method", "source", "levels", "match"),
    [
        ("average", (4,), [(2,)], r"'average', expected one of \('mean'"),
        ("mean", (), [()], "expected 1 to 5 axes"),
        ("mean", (2,) * 6, [(1,) * 6], "expected 1 to 5 axes"),
        ("mean", (4, 0), [(2, 1)], "1 pixel"),
        ("mean", (4,), [], "Got no level shapes"),
        ("mean", (4,), [(5,)], r"sizes from 1 to those of the source, \(4,\)"),
        ("mean", (4,), [(0,)], "sizes from 1"),
        ("mean", (4, 4), [(2,)], "expected 2 sizes"),
        ("mean", (9,), [(6,), (4,)], r"\(4,\) after \(6,\), expected sizes that"),
    ],
)
def test_wrong_arguments_are_refused(method, source, levels, match):
    with pytest.raises(ArgumentError, match=match):
        Downsampler(method, np.dtype("uint8"), source, levels)


def test_wrong_boxes_and_pixels_are_refused():
    downsampler = Downsampler("mean", np.dtype("uint8"), (16, 9), [(8, 9), (4, 3)])
    pixels = np.zeros((4, 3), np.uint8)
    downsampler.downsample(pixels, ((2, 4), (3, 6)))

    with pytest.raises(ArgumentError, match=r"\[1, 3\) along axis 0, .* of 2"):
        downsampler.downsample(pixels, ((1, 3), (3, 6)))
    with pytest.raises(ArgumentError, match=r"\[6, 12\) along axis 1, .*\[0, 9\)"):
        downsampler.downsample(pixels, ((2, 4), (6, 12)))
    with pytest.raises(ArgumentError, match="box of 1 axes"):
        downsampler.downsample(pixels, ((2, 4),))
    with pytest.raises(ArgumentError, match=r"shape \(3, 3\) .* expected \(4, 3\)"):
        downsampler.downsample(pixels[1:], ((2, 4), (3, 6)))
    with pytest.raises(ArgumentTypeError, match="uint16, expected uint8"):
        downsampler.downsample(pixels.astype(np.uint16), ((2, 4), (3, 6)))


def test_empty_box_gives_empty_levels():
    downsampler = Downsampler("mean", np.dtype("uint8"), (7, 9), [(4, 6), (2, 3)])
    box = ((2, 4), (2, 2))

    made = downsampler.downsample(np.empty((4, 0), np.uint8), box)

    assert [level.shape for level in made] == [(2, 0), (1, 0)]
