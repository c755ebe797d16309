"""Every way to make levels gives the same pixels, whichever is chosen."""

from __future__ import annotations

import math
import os
import shutil

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_msimage import MultiscaleImage, create_levels, plan_levels
from napari_msimage.engines import _level_passes
from napari_msimage.engines._level_plan import METHODS
from napari_msimage.engines._pass_geometry import Way
from napari_msimage.engines._pass_ways import other_ways

AXES = ("x", "y", "z")


@pytest.fixture
def narrow(monkeypatch):
    """Make small images go the way of large ones: bands, blocks, many jobs."""
    monkeypatch.setattr(_level_passes, "MEMORY_BYTES", 0)
    monkeypatch.setattr(_level_passes, "_BAND_BYTES", 2**12)
    monkeypatch.setattr(_level_passes, "_BLOCK_BYTES", 2**12)
    monkeypatch.setattr(_level_passes, "_EDGE_BYTES", 2**12)
    monkeypatch.setattr(_level_passes, "_MIN_JOB_BYTES", 2**10)


def write(uri, pixels, order, extents):
    shutil.rmtree(uri, ignore_errors=True)
    config = {"dims": {f"soma_dim_{i}": {"tile": e} for i, e in enumerate(extents)}}
    with MultiscaleImage.create(
        uri,
        type=pixels.dtype,
        level_shape=pixels.shape,
        coordinate_space=[axis for axis in AXES if axis in order],
        data_axis_order=order,
        has_channel_axis="soma_channel" in order,
        platform_config=config,
    ) as image:
        image["level0"].write((), pixels)
    return uri


def exact_mean(pixels, shape):
    """Return area means, rounded half up, by whole weights: overlaps times sizes."""
    sums = pixels.astype(object)
    for axis, (n, m) in enumerate(zip(pixels.shape, shape, strict=True)):
        i, k = np.arange(n) * m, np.arange(m)[:, None] * n
        weights = np.minimum(i + m, k + n) - np.maximum(i, k)
        weights = np.maximum(weights, 0).astype(object)
        sums = np.moveaxis(np.tensordot(weights, sums, (1, axis)), 0, axis)
    area = math.prod(pixels.shape)
    return ((2 * sums + area) // (2 * area)).astype(pixels.dtype)


def made_in(monkeypatch, choose):
    """Have each set of levels made in the way that `choose` takes of those that go."""

    def best(request, levels):
        factors = _level_passes._factors(request, levels)
        if factors is None:
            return None
        ways = [Way(), *other_ways(request, levels)]
        built = [_level_passes._build(request, levels, factors, way) for way in ways]
        found = [one for one in built if one is not None and one.n_fragments < 64]
        return choose(found) if found else None

    monkeypatch.setattr(_level_passes, "_best", best)


@settings(
    deadline=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_any_way_gives_exact_means(tmp_path, narrow, monkeypatch, data):
    spatial = AXES[: data.draw(st.integers(1, 3), "spatial axes")]
    channels = data.draw(st.sampled_from([1, 2, 5, 12, 30]), "channels")
    order = list(data.draw(st.permutations([*spatial, "soma_channel"]), "order"))
    side = {1: 400, 2: 60, 3: 18}[len(spatial)]
    shape = [
        channels if a == "soma_channel" else data.draw(st.integers(3, side), a)
        for a in order
    ]
    extents = [data.draw(st.integers(1, n + 2), "extent") for n in shape]
    new = [data.draw(st.sampled_from([1, 2, 5, 8, 16]), "new extent") for _ in shape]
    dtype = data.draw(st.sampled_from(["uint8", "int16"]), "dtype")
    rng = np.random.default_rng(0)
    info = np.iinfo(dtype)
    pixels = rng.integers(info.min, info.max, shape, dtype, endpoint=True)
    uri = write(str(tmp_path / "a.soma"), pixels, order, extents)
    config = {"dims": {f"soma_dim_{i}": {"tile": e} for i, e in enumerate(new)}}
    chosen = data.draw(st.sampled_from([None, config]), "platform config")
    taken = data.draw(st.integers(0, 40), "which way")
    made_in(monkeypatch, lambda found: found[taken % len(found)])

    plan = plan_levels(uri, max_side=5, platform_config=chosen, n_threads=2)
    keys = create_levels(uri, plan)

    with MultiscaleImage.open(uri) as image:
        for key in keys:
            level = image[key].read()
            np.testing.assert_array_equal(level, exact_mean(pixels, level.shape))
            folder = os.path.join(uri, key, "__fragments")
            assert len(os.listdir(folder)) < 64


@pytest.mark.parametrize("method", METHODS)
def test_any_way_gives_the_same_bytes(tmp_path, narrow, monkeypatch, method):
    rng = np.random.default_rng(1)
    pixels = rng.normal(0, 100, (9, 12, 41, 37)).astype("float32")
    pixels[:, 3:5, 10:20, 5:30] = np.nan
    order = ("soma_channel", "z", "y", "x")
    taken = {}
    for number in range(9):
        uri = write(str(tmp_path / f"{number}.soma"), pixels, order, (6, 5, 16, 16))
        built = []

        def choose(found, number=number, built=built):
            built.append(found[number * len(found) // 9])
            return built[-1]

        made_in(monkeypatch, choose)
        plan = plan_levels(uri, n_levels=2, method=method, n_threads=2)
        keys = create_levels(uri, plan)
        with MultiscaleImage.open(uri) as image:
            levels = [image[key].read().tobytes() for key in keys]
        taken[built[-1].in_pieces, bool(built[-1].snap)] = levels

    assert len(taken) > 2
    first, *others = taken.values()
    assert all(levels == first for levels in others)
