"""Coarser levels in exported files: pixels, types, and the progress of making them."""

from __future__ import annotations

import math
import threading
import time

import numpy as np
import pytest
import tifffile

from napari_msimage.engines import (
    ExportSource,
    export_region,
    plan_export,
    write_export,
)

CHANNEL = "soma_channel"
SIZES = {CHANNEL: 3, "t": 2, "z": 5, "y": 401, "x": 530}


def source_of(pixels, axes, **facts):
    n = sum(name != CHANNEL for name in axes)
    return ExportSource("demo", (pixels,), axes, np.eye(n + 1), (None,) * n, **facts)


def noise(shape, dtype="uint8"):
    return np.random.default_rng(3).integers(0, 200, shape).astype(dtype)


def weights(n_in, n_out):
    """Overlap of [o, o + 1) * n_in / n_out with [i, i + 1), parts of the former."""
    edges = np.arange(n_out + 1) * n_in / n_out
    low, high = edges[:-1, None], edges[1:, None]
    i = np.arange(n_in)
    overlap = np.minimum(high, i + 1) - np.maximum(low, i)
    return np.maximum(overlap, 0) / (n_in / n_out)


def mean_of(pixels, shape):
    """Return the area mean of pixels, in float64, of any shape."""
    found = pixels.astype(np.float64)
    for axis, (n_in, n_out) in enumerate(zip(pixels.shape, shape, strict=True)):
        if n_in != n_out:
            rest = np.moveaxis(found, axis, -1) @ weights(n_in, n_out).T
            found = np.moveaxis(rest, -1, axis)
    return found


def check_subifds(path, stored):
    """Compare each plane of each SubIFD with the mean; returns the levels' shapes."""
    with tifffile.TiffFile(path) as tiff:
        series = tiff.series[0]
        stored = stored.reshape(series.shape)
        assert np.array_equal(series.asarray(), stored)
        for level in series.levels[1:]:
            expected = mean_of(stored, level.shape)
            assert np.abs(level.asarray() - expected).max() <= 0.5 + 1e-6
        # What programs see that follow the SubIFDs of each page.
        for number, frame in enumerate(series.pages):
            page = frame.aspage()
            assert len(page.subifds or ()) == len(series.levels) - 1
            for position, subpage in enumerate(page.pages or ()):
                whole = series.levels[1 + position].asarray()
                planes = whole.reshape(-1, *subpage.shape)
                assert np.array_equal(subpage.asarray(), planes[number])
        return [level.shape for level in series.levels]


# Pixels


@pytest.mark.parametrize(
    "axes",
    [
        ("z", "y", "x"),
        (CHANNEL, "z", "y", "x"),
        ("z", CHANNEL, "y", "x"),
        ("t", "y", "x"),
        ("z", "y", "x", CHANNEL),
        ("y", "x", "z"),
    ],
    ids="-".join,
)
@pytest.mark.parametrize("is_rgb", [False, True])
def test_each_subifd_is_the_mean_of_its_plane(tmp_path, axes, is_rgb):
    if is_rgb and CHANNEL not in axes:
        pytest.skip("has no colours")
    pixels = noise([SIZES[name] for name in axes])
    source = source_of(pixels, axes, is_rgb=is_rgb)
    plan = plan_export(source, tmp_path / "a.ome.tif", pyramid=True)
    list(write_export(plan))
    order = [axes.index(name) for name in plan.file_axes]
    shapes = check_subifds(plan.paths[0], pixels.transpose(order))
    assert len(shapes) == 2
    # Sub-resolutions have the planes of the image, OME-TIFF specification.
    others = [n for n in shapes[0] if n not in (SIZES["y"], SIZES["x"])]
    assert [n for n in shapes[1] if n not in (201, 265)] == others


@pytest.mark.parametrize(
    ("shape", "n_levels"),
    [((3, 1301, 1537), 2), ((8, 1100, 40), 2), ((1, 513, 513), 1), ((600, 9, 9), 0)],
)
def test_volumes_of_odd_sizes(tmp_path, shape, n_levels):
    pixels = noise(shape, "uint16")
    source = source_of(pixels, ("z", "y", "x"))
    path = export_region(source, tmp_path / "a.ome.tif", pyramid=True)[0]
    assert len(check_subifds(path, pixels)) == n_levels + 1


def test_planes_of_channels_keep_their_channel(tmp_path):
    pixels = np.empty((2, 8, 800, 800), "uint8")
    pixels[...] = np.arange(16).reshape(2, 8, 1, 1) * 10
    source = source_of(pixels, (CHANNEL, "z", "y", "x"))
    path = export_region(source, tmp_path / "a.ome.tif", pyramid=True)[0]
    with tifffile.TiffFile(path) as tiff:
        found = [page.aspage().pages[0].asarray() for page in tiff.pages]
    assert [np.unique(plane).tolist() for plane in found] == [
        [10 * number] for number in range(16)
    ]


def test_zarr_volumes_get_flatter(tmp_path):
    zarr = pytest.importorskip("zarr")
    pixels = noise((5, 701, 1030))
    source = source_of(pixels, ("z", "y", "x"))
    path = export_region(source, tmp_path / "a.ome.zarr")[0]
    found = zarr.open_group(path, mode="r")["2"][:]
    assert found.shape == (1, 175, 258)
    assert np.abs(found - mean_of(pixels, found.shape)).max() <= 0.5 + 1e-6


# Types


def test_coarser_booleans_are_those_of_most_pixels(tmp_path):
    zarr = pytest.importorskip("zarr")
    coarse = noise((300, 400)) > 100
    pixels = np.kron(coarse, np.ones((4, 4), bool))
    pixels[::4, ::4] ^= True
    source = source_of(pixels, ("y", "x"))
    plan = plan_export(source, tmp_path / "a.ome.zarr", pyramid=True)
    assert plan.notes == ()
    list(write_export(plan))
    found = zarr.open_group(plan.paths[0], mode="r")["2"]
    assert found.dtype == bool
    assert np.array_equal(found[:], coarse)


def test_half_floats_are_averaged_as_floats(tmp_path):
    zarr = pytest.importorskip("zarr")
    pixels = (60000 * np.random.default_rng(2).random((701, 1030))).astype("float16")
    source = source_of(pixels, ("y", "x"))
    path = export_region(source, tmp_path / "a.ome.zarr", pyramid=True)[0]
    found = zarr.open_group(path, mode="r")["1"]
    assert found.dtype == np.float16
    expected = mean_of(pixels, found.shape)
    assert np.abs(found[:] / expected - 1).max() < 2**-10


@pytest.mark.parametrize("name", ["a.ome.zarr", "a.ome.tif"])
def test_types_that_get_no_coarser_levels_are_noted(tmp_path, name):
    source = source_of(np.zeros((600, 700), "complex64"), ("y", "x"))
    notes = plan_export(source, tmp_path / name, pyramid=True).notes
    assert notes == (
        "Pixels of type complex64 get no coarser levels: they cannot be averaged.",
    )
    assert plan_export(source, tmp_path / name, pyramid=False).notes == ()


# Progress


class Slow:
    """Made-up pixels, each block of which takes a while."""

    shape = (2048, 2048)
    dtype = np.dtype("float64")
    chunks = (256, 256)

    def __init__(self):
        self.n_read = 0
        self._lock = threading.Lock()

    def __getitem__(self, key):
        sizes = [part.stop - part.start for part in key]
        time.sleep(math.prod(sizes) / 4e6)
        with self._lock:
            self.n_read += math.prod(sizes)
        return np.zeros(sizes, self.dtype)


Slow.__module__ = "numpy"  # may be read by several threads


@pytest.mark.parametrize("name", ["a.ome.zarr", "a.ome.tif"])
def test_progress_goes_with_the_work_and_ends_with_it(tmp_path, name):
    pixels = Slow()
    source = source_of(pixels, ("y", "x"))
    plan = plan_export(source, tmp_path / name, pyramid=True)
    steps = []
    for progress in write_export(plan):
        steps.append((progress.done, progress.total, pixels.n_read / 2**22))
    done, totals, read = zip(*steps, strict=True)
    assert list(done) == sorted(done)
    assert len(set(totals)) == 1
    assert done[-1] == totals[-1]
    assert done[-2] < totals[-1]
    # All is read twice: for the coarser levels, and to be written.
    assert read[-1] == 2
    parts = np.divide(done, totals[-1])
    halfway = [part for part, at in zip(parts, read, strict=True) if at == 1]
    assert all(0.3 < part < 0.6 for part in halfway)
    before = [part for part, at in zip(parts, read, strict=True) if 0.6 < at < 1]
    assert all(0.1 < part < 0.6 for part in before)
    assert halfway
    assert before
