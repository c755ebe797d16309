"""Exported pixels are those of numpy's slices; read back by other programs."""

from __future__ import annotations

import json
import math
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_msimage.engines import (
    ExportSource,
    ImageRegion,
    _export_blocks,
    _export_npy,
    _export_tiff,
    _export_tiles,
    _export_zarr,
    export_region,
    plan_export,
)
from napari_msimage.storage import MultiscaleImage, Scene

CHANNEL = "soma_channel"


class Chunked:
    """Pixels in blocks that notes how often each was read."""

    def __init__(self, pixels, chunks):
        self._pixels = pixels
        self.shape, self.dtype, self.chunks = pixels.shape, pixels.dtype, chunks
        self.counts = {}

    def __getitem__(self, key):
        ranges = [
            range(part.start // size, -(-part.stop // size))
            for part, size in zip(key, self.chunks, strict=True)
        ]
        grid = np.stack(np.meshgrid(*ranges, indexing="ij"), -1)
        for block in map(tuple, grid.reshape(-1, len(ranges)).tolist()):
            self.counts[block] = self.counts.get(block, 0) + 1
        return self._pixels[key]


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch):
    """Let small images have many blocks."""
    monkeypatch.setattr(_export_npy, "_BLOCK_BYTES", 600)
    monkeypatch.setattr(_export_tiles, "_READ_BYTES", 600)
    monkeypatch.setattr(_export_tiles, "_TILE", 16)
    monkeypatch.setattr(_export_zarr, "_READ_BYTES", 600)
    monkeypatch.setattr(_export_zarr, "_CHUNK", 16)


def noise(shape, dtype="uint8", seed=0):
    info = np.iinfo(dtype)
    return np.random.default_rng(seed).integers(
        info.min, info.max, shape, dtype, endpoint=True
    )


def source_of(levels, order, matrix=None, **more):
    n_axes = sum(name != CHANNEL for name in order)
    matrix = np.eye(n_axes + 1) if matrix is None else matrix
    more = {"units": ("micrometer",) * n_axes, **more}
    return ExportSource("slide", tuple(levels), order, matrix, **more)


def read_back(path, file_format, order):
    """Return the pixels of a file in the order in which the image has its axes."""
    if file_format == "npy":
        return np.load(path, mmap_mode="r")
    if file_format == "ome-tiff":
        import tifffile

        with tifffile.TiffFile(path) as tiff:
            series = tiff.series[0]
            pixels = series.asarray(squeeze=False)
            axes = series.get_axes(squeeze=False)
            letters = _export_tiff.ome_letters(order)
            extra = [i for i, axis in enumerate(axes) if axis not in letters]
            pixels = pixels.squeeze(tuple(extra))
            axes = "".join(axis for axis in axes if axis in letters)
        return pixels.transpose([axes.index(letter) for letter in letters])
    if file_format == "ome-zarr":
        import zarr

        array = zarr.open_group(path, mode="r")["0"]
        names = [{"c": CHANNEL}.get(n, n) for n in array.metadata.dimension_names]
        return array[:].transpose([names.index(name) for name in order])
    if Scene.exists(path):
        path = f"{path}/img/image"
    with MultiscaleImage.open(path) as image, image.level_array(0) as level:
        return level.read()


ORDERS = [
    ("y", "x"),
    (CHANNEL, "y", "x"),
    ("y", "x", CHANNEL),
    (CHANNEL, "z", "y", "x"),
    ("z", CHANNEL, "y", "x"),
]


@st.composite
def exports(draw):
    order = draw(st.sampled_from(ORDERS))
    sizes = {
        CHANNEL: draw(st.integers(1, 4)),
        "z": draw(st.integers(1, 5)),
        "y": draw(st.integers(1, 60)),
        "x": draw(st.integers(1, 60)),
    }
    shapes = [tuple(sizes[name] for name in order)]
    for _ in range(draw(st.integers(0, 2))):
        shapes.append(
            tuple(
                n if name == CHANNEL else draw(st.integers(max(1, n // 4), n))
                for n, name in zip(shapes[-1], order, strict=True)
            )
        )
    level = draw(st.integers(0, len(shapes) - 1))
    spatial = [i for i, name in enumerate(order) if name != CHANNEL]
    box = []
    for i in spatial:
        start = draw(st.integers(0, shapes[level][i] - 1))
        box.append((start, draw(st.integers(start + 1, shapes[level][i]))))
    chunks = tuple(draw(st.integers(1, 20)) for _ in order)
    matrix = np.eye(len(spatial) + 1)
    numbers = st.floats(-10, 10, width=16)
    for row in range(len(spatial)):
        for column in range(len(spatial) + 1):
            matrix[row, column] = draw(numbers)
    matrix[:-1, :-1] += np.diag([30.0] * len(spatial))
    channels = None
    if CHANNEL in order and draw(st.booleans()):
        channels = draw(st.permutations(range(sizes[CHANNEL])))
        channels = channels[: draw(st.integers(1, len(channels)))]
    return order, shapes, level, box, chunks, matrix, channels


def check_export(case, file_format, inset, options):
    order, shapes, level, box, chunks, matrix, channels = case
    levels = [noise(shape, "uint16", i) for i, shape in enumerate(shapes)]
    source = source_of([Chunked(one, chunks) for one in levels], order, matrix)
    spatial = [i for i, name in enumerate(order) if name != CHANNEL]
    ratio = np.divide(
        [shapes[0][i] for i in spatial], [shapes[level][i] for i in spatial]
    )
    low, high = np.array(box, float).T
    region = ImageRegion(tuple((low + inset) * ratio), tuple((high - inset) * ratio))
    reference = levels[level]
    key = [slice(None)] * len(order)
    for i, (start, stop) in zip(spatial, box, strict=True):
        key[i] = slice(start, stop)
    expected = reference[tuple(key)]
    if channels is not None:
        expected = expected.take(channels, order.index(CHANNEL))
    suffix = {"npy": ".npy", "ome-tiff": ".tif", "ome-zarr": ".zarr", "soma": ".soma"}
    with tempfile.TemporaryDirectory() as folder:
        written = export_region(
            source,
            f"{folder}/a{suffix[file_format]}",
            region=region,
            level=level,
            channels=channels,
            **options,
        )
        found = read_back(written[0], file_format, order)
        assert found.dtype == expected.dtype
        assert found.shape == expected.shape
        assert np.array_equal(found, expected)
        del found
        left = {Path(path).name for path in written}
        assert {entry.name for entry in Path(folder).iterdir()} == left


#: Partly covered pixels count as whole ones, and what transforms round does not.
insets = st.sampled_from([0.0, 0.3, 1e-7, -1e-7])
many = settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
few = settings(many, max_examples=15)


@given(exports(), insets)
@many
def test_npy_has_the_pixels_of_the_slice(case, inset):
    check_export(case, "npy", inset, {})


@given(exports(), insets, st.sampled_from(["zlib", "none"]), st.booleans())
@many
def test_tiff_has_the_pixels_of_the_slice(case, inset, compression, pyramid):
    options = {"compression": compression, "pyramid": pyramid}
    check_export(case, "ome-tiff", inset, options)


@given(exports(), insets, st.sampled_from(["zstd", "none", "zlib"]))
@few
def test_zarr_has_the_pixels_of_the_slice(case, inset, compression):
    pytest.importorskip("zarr", minversion="3")
    check_export(case, "ome-zarr", inset, {"compression": compression})


@given(exports(), insets)
@few
def test_soma_has_the_pixels_of_the_slice(case, inset):
    check_export(case, "soma", inset, {})


@given(st.data(), st.integers(1, 90), st.integers(1, 90))
@settings(many, max_examples=15)
def test_png_has_the_pixels_of_the_slice(data, height, width):
    from PIL import Image

    n_channels = data.draw(st.sampled_from([1, 3, 4]))
    is_first = data.draw(st.booleans())
    pixels = noise((n_channels, height, width))
    order = (CHANNEL, "y", "x") if is_first else ("y", "x", CHANNEL)
    stored = pixels if is_first else np.moveaxis(pixels, 0, -1)
    source = source_of([stored], order, is_rgb=n_channels > 1)
    top = data.draw(st.integers(0, height - 1))
    left = data.draw(st.integers(0, width - 1))
    with tempfile.TemporaryDirectory() as folder:
        path = export_region(
            source, f"{folder}/a.png", region=(left, top, width, height)
        )[0]
        with Image.open(path) as image:
            found = np.asarray(image)
    expected = np.moveaxis(pixels[:, top:, left:], 0, -1)
    assert np.array_equal(found.reshape(expected.shape), expected)


def test_png_of_gray_has_16_bits_if_the_image_has(tmp_path):
    from PIL import Image

    pixels = noise((50, 40), "uint16")
    path = export_region(source_of([pixels], ("y", "x")), tmp_path / "a.png")[0]
    with Image.open(path) as image:
        assert np.array_equal(np.asarray(image), pixels)


@pytest.mark.parametrize(
    "dtype",
    ["bool", ">u2", "int8", "int64", "float16", "float32", "complex64", "uint64"],
)
def test_npy_keeps_types(tmp_path, dtype):
    pixels = noise((9, 9), "int8").astype(dtype)
    path = export_region(source_of([pixels], ("y", "x")), tmp_path / "a.npy")[0]
    found = np.load(path)
    assert found.dtype == np.dtype(dtype).newbyteorder("=")
    assert np.array_equal(found, pixels)


@pytest.mark.parametrize("name", ["a.npy", "a.tif", "a.zarr"])
def test_blocks_of_the_source_are_read_once(tmp_path, monkeypatch, name):
    for module in (_export_tiles, _export_zarr):
        monkeypatch.setattr(module, "_READ_BYTES", 20000)
    monkeypatch.setattr(_export_npy, "_BLOCK_BYTES", 20000)
    level = Chunked(noise((3, 300, 400)), (1, 64, 64))
    source = source_of([level], (CHANNEL, "y", "x"))
    export_region(source, tmp_path / name, region=(10, 20, 390, 270), pyramid=False)
    assert len(level.counts) == 3 * 5 * 7
    assert set(level.counts.values()) == {1}


@given(st.data())
@settings(deadline=None)
def test_bands_are_all_rows_in_order(data):
    n_lead = data.draw(st.integers(0, 2))
    shape = tuple(data.draw(st.integers(1, 9)) for _ in range(n_lead + 2))
    extents = tuple(data.draw(st.integers(1, 12)) for _ in shape)
    firsts = tuple(data.draw(st.integers(0, 9)) for _ in shape)
    pixels = np.arange(math.prod(shape), dtype="uint16").reshape(shape)

    class Pixels:
        dtype = pixels.dtype
        grid = tuple(map(_export_blocks.AxisGrid, shape, extents, firsts))

        def read(self, window, out=None):
            return pixels[tuple(slice(*bounds) for bounds in window)]

    Pixels.shape = shape
    height = data.draw(st.integers(1, 10))
    n_bytes = data.draw(st.integers(1, 400))
    windows = _export_blocks.blocks(Pixels(), n_bytes)
    covered = np.zeros(shape, int)
    for window in windows:
        covered[tuple(slice(*bounds) for bounds in window)] += 1
    assert (covered == 1).all()
    found = list(_export_blocks.bands(Pixels(), n_lead, height, n_bytes))
    n_bands = -(-shape[n_lead] // height)
    assert len(found) == n_bands * math.prod(shape[:n_lead])
    assert all(len(band) <= height for band in found)
    assert np.array_equal(np.concatenate(found), pixels.reshape(-1, shape[-1]))


# What is beside the pixels


def test_the_json_tells_where_the_pixels_are_from(tmp_path):
    matrix = np.array([[0.0, -2.0, 7.0], [3.0, 0.0, 5.0], [0.0, 0.0, 1.0]])
    source = source_of(
        [noise((3, 40, 60)), noise((3, 20, 30))],
        (CHANNEL, "y", "x"),
        matrix,
        uri="file:///data/slide.soma",
        channel_names=("DAPI", "CD3", "CD8"),
        channel_colors=((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    )
    region = ImageRegion((4, 6), (9, 20), "tumour")
    written = export_region(
        source, tmp_path / "a.npy", region=region, level=1, channels=["CD8"]
    )
    found = json.loads(Path(written[1]).read_text("utf-8"))
    assert found["program"].startswith("napari-msimage ")
    assert found["source"] == "file:///data/slide.soma"
    assert (found["level"], found["level_key"]) == (1, "level1")
    assert found["region_name"] == "tumour"
    assert found["shape"] == [1, 3, 7]
    assert found["channels"] == [{"index": 2, "name": "CD8", "color": [0, 0, 1]}]
    assert found["level_pixels"] == [[2, 5], [3, 10]]
    assert found["image_region"] == {"lower": [4, 6], "upper": [10, 20]}
    assert found["world_region"] == {"lower": [-33, 17], "upper": [-5, 35]}
    assert found["pixel_size"] == [6, 4]
    assert found["units"] == ["micrometer", "micrometer"]
    assert np.allclose(found["pixels_to_world"] @ np.array([0, 0, 1]), [-5, 17, 1])


def test_several_regions_have_a_table(tmp_path):
    import csv

    source = source_of([noise((40, 60))], ("y", "x"))
    regions = [ImageRegion((0, 0), (5, 7), "a"), ImageRegion((10, 20), (30, 41), "b")]
    written = export_region(source, tmp_path / "{region}.npy", region=regions)
    assert [Path(path).name for path in written] == [
        *("a.npy", "a.npy.json", "b.npy", "b.npy.json", "regions.csv")
    ]
    with open(written[-1], newline="", encoding="utf-8") as file:
        first, second = csv.DictReader(file)
    assert (first["region"], first["file"]) == ("a", written[0])
    assert second["upper_x"] == "41.0"
    assert second["unit_y"] == "micrometer"
    assert plan_export(source, tmp_path / "{region}.npy", region=regions).csv_path
