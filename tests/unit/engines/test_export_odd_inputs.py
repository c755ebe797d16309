"""Exports of odd names, numbers, units, shapes and places, found by trying."""

from __future__ import annotations

import csv
import dataclasses
import json
import os
import threading
import xml.etree.ElementTree as ET

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_msimage.coordinates import pixel_box
from napari_msimage.engines import (
    ExportSource,
    ImageRegion,
    _export_files,
    _export_tiff,
    export_region,
    export_source,
    nearest_level,
    plan_export,
)
from napari_msimage.errors import (
    AccessError,
    ArgumentError,
    ArgumentTypeError,
    BusyError,
    RegionError,
    SOMAError,
    UnsupportedError,
)
from napari_msimage.storage import MultiscaleImage

CHANNEL = "soma_channel"
GRAY = np.arange(200, dtype=np.uint8).reshape(10, 20)
TRIANGLE = np.array([(0.0, 0.0), (0.0, 6.0), (5.0, 0.0)])


def noise(shape, dtype=np.uint8):
    return np.random.default_rng(1).integers(0, 250, shape).astype(dtype)


def source_of(pixels=GRAY, axes=("y", "x"), *, name="demo", units=None, **facts):
    n = len([axis for axis in axes if axis != CHANNEL])
    levels = pixels if isinstance(pixels, tuple) else (pixels,)
    units = units or (None,) * n
    return ExportSource(name, levels, axes, np.eye(n + 1), units, **facts)


def triangle(name=""):
    return ImageRegion((0.0, 0.0), (5.0, 6.0), name, TRIANGLE)


def strict_json(path):
    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    with open(path, encoding="utf-8") as file:
        return json.load(file, parse_constant=refuse)


# Fill values


@pytest.mark.parametrize(
    ("value", "dtype", "written"),
    [
        (np.nan, "float32", "nan"),
        (np.inf, "float64", "inf"),
        (np.float32(3), "float32", 3.0),
        (np.uint8(3), "uint8", 3),
        (np.array(3), "uint8", 3),
        (True, "uint8", 1),
        (1 + 2j, "complex64", "(1+2j)"),
    ],
)
def test_fill_values_are_in_the_json(tmp_path, value, dtype, written):
    source = source_of(GRAY.astype(dtype))
    paths = export_region(
        source, tmp_path / "a.npy", region=triangle(), mask=True, fill_value=value
    )
    assert strict_json(paths[1])["masked"]["outside"] == written
    corner = np.load(paths[0])[-1, -1]
    assert np.array_equal(corner, np.asarray(value, dtype), equal_nan=dtype != "uint8")


@pytest.mark.parametrize("value", ["x", None, [1, 2], b"1"])
def test_fill_values_that_are_no_numbers(tmp_path, value):
    with pytest.raises(ArgumentTypeError, match="fill_value must be a number"):
        plan_export(source_of(), tmp_path / "a.npy", mask=True, fill_value=value)


@pytest.mark.parametrize(
    ("value", "dtype"),
    [
        (2**70, "uint8"),
        (-1, "uint8"),
        (0.5, "int16"),
        (np.nan, "int16"),
        (1e300, "float32"),
        (2, "bool"),
        (1j, "float32"),
    ],
)
def test_fill_values_that_do_not_fit(tmp_path, value, dtype):
    with pytest.raises(
        ArgumentError, match=f"does not fit into pixels of type {dtype}"
    ):
        plan_export(
            source_of(GRAY.astype(dtype)),
            tmp_path / "a.npy",
            mask=True,
            fill_value=value,
        )


@pytest.mark.parametrize(
    ("shape", "axes"),
    [
        ((10, 20), ("y", "x")),
        ((1, 10, 20), (CHANNEL, "y", "x")),
        ((10, 20, 3), ("y", "x", CHANNEL)),
        ((10, 20, 4), ("y", "x", CHANNEL)),
    ],
)
def test_the_json_counts_the_alpha_channel(tmp_path, shape, axes):
    source = source_of(noise(shape), axes, is_rgb=shape[-1] in (3, 4))
    paths = export_region(source, tmp_path / "a.png", region=triangle(), alpha=True)
    written = strict_json(paths[1])
    sizes = dict(zip(written["axes"], written["shape"], strict=True))
    with Image.open(paths[0]) as image:
        assert sizes == {"y": 5, "x": 6, CHANNEL: len(image.getbands())}


# Names


@pytest.mark.parametrize(
    "name", ['a & <b> "q" é 漢 😀', "a\x01b\x0b", "x\ny", "lone \udc80", "\ufffe"]
)
def test_any_name_gives_valid_files(tmp_path, name):
    pixels = noise((2, 9, 9))
    source = source_of(
        pixels, (CHANNEL, "y", "x"), name=name, channel_names=(name, "b")
    )
    tiff = export_region(source, tmp_path / "a.ome.tif")[0]
    with tifffile.TiffFile(tiff) as file:
        image = ET.fromstring(file.ome_metadata).find("{*}Image")
    if name.startswith("a &"):
        assert image.get("Name") == name
    assert image.get("Name") == image.find("{*}Pixels/{*}Channel").get("Name")
    assert strict_json(export_region(source, tmp_path / "a.npy")[1])["image"] == name
    regions = [triangle(name), triangle(name)]
    paths = export_region(source, tmp_path / "{label}.npy", region=regions)
    assert len(set(paths)) == 5
    with open(paths[-1], encoding="utf-8", newline="") as table:
        rows = list(csv.reader(table))
    assert [row[1] for row in rows[1:]] == [paths[0], paths[2]]


@pytest.mark.parametrize("label", ["x" * 300, "漢" * 200, "../../a", "..", "a\\b"])
def test_any_label_gives_a_name_in_the_folder(tmp_path, label):
    regions = [triangle(label), triangle(label)]
    plan = plan_export(source_of(), tmp_path / "{label}_{index}.npy", region=regions)
    assert {os.path.dirname(path) for path in plan.paths} == {str(tmp_path)}
    assert len(set(plan.paths)) == 5


def test_the_longest_name_has_room_for_what_is_beside(tmp_path):
    pixels = noise((1100, 1100))
    longest = "y" * (_export_files._MAX_NAME - len(".ome.tif"))
    path = export_region(source_of(pixels), tmp_path / f"{longest}.ome.tif", pyramid=1)
    assert os.listdir(tmp_path) == [os.path.basename(path[0])]
    with pytest.raises(ArgumentError, match="bytes"):
        plan_export(source_of(pixels), tmp_path / f"y{longest}.ome.tif")


def test_addresses_of_files_are_taken_whole(tmp_path):
    plan = plan_export(source_of(), f"file://{tmp_path}/a#1?.npy")
    assert plan.paths[0] == str(tmp_path / "a#1?.npy")


# Regions


def test_regions_far_beyond_the_image_are_all_of_it():
    box = pixel_box((-1e308, 0.0), (1e308, 1e308), (10, 20), (5, 7))
    assert box == ((0, 5), (0, 7))
    with pytest.raises(RegionError, match="outside"):
        pixel_box((1e307, 0.0), (1e308, 1.0), (10, 20), (100, 20))
    with pytest.raises(RegionError, match="outside"):
        pixel_box((-1e308, 0.0), (-1e307, 1.0), (10, 20), (5, 7))


def test_of_several_regions_the_bad_one_is_named(tmp_path):
    outside = ImageRegion((50.0, 50.0), (60.0, 60.0), "tumour")
    with pytest.raises(RegionError, match=r"Region 2 of 2 'tumour': .*outside"):
        plan_export(source_of(), tmp_path / "a.npy", region=[triangle(), outside])


def test_a_triangle_is_no_rectangle(tmp_path):
    assert (
        "no rectangles"
        in plan_export(source_of(), tmp_path / "a.npy", region=triangle()).notes[0]
    )
    corners = np.array([(0.0, 0.0), (0.0, 6.0), (5.0, 6.0), (5.0, 0.0)])
    box = ImageRegion((0.0, 0.0), (5.0, 6.0), "", corners)
    assert plan_export(source_of(), tmp_path / "a.npy", region=box).notes == ()


# Arguments and units


@pytest.mark.parametrize("unit", ["(", "1/0", "'", "\0", "2 um", "um**99", "no unit"])
def test_units_that_are_none(tmp_path, unit):
    source = source_of((GRAY, GRAY[::2, ::2]), units=(unit, unit))
    tiff = export_region(source, tmp_path / "a.ome.tif")[0]
    with tifffile.TiffFile(tiff) as file:
        assert 'PhysicalSizeXUnit="pixel"' in file.ome_metadata
    with pytest.raises(ArgumentError, match="cannot be compared"):
        nearest_level(source_of(GRAY, units=("um", "um")), 2, unit)


def test_pixels_are_a_unit():
    source = source_of((GRAY, GRAY[::2, ::2]))
    assert nearest_level(source, 2, "pixel") == nearest_level(source, 2) == 1
    with pytest.raises(ArgumentError, match="positive number"):
        nearest_level(source, "2")


def test_channels_that_are_none(tmp_path):
    source = source_of(noise((3, 9, 9)), (CHANNEL, "y", "x"))
    with pytest.raises(ArgumentTypeError, match="channel must be"):
        plan_export(source, tmp_path / "a.npy", channels=1.5)


@pytest.mark.parametrize("name", ["a.ome.tif", "a.ome.zarr"])
def test_rows_of_pixels(tmp_path, name):
    row = source_of(np.arange(5, dtype="u1"), ("x",))
    with pytest.raises(UnsupportedError, match="two spatial axes or more"):
        plan_export(row, tmp_path / name)
    paths = export_region(row, tmp_path / "a.npy", region=(1, 3), mask=True)
    assert np.load(paths[0]).tolist() == [1, 2]


# Formats


@pytest.mark.parametrize(
    "order", [("x", "y"), ("x", CHANNEL, "y"), (CHANNEL, "x", "y")]
)
def test_png_has_y_down_however_it_is_stored(tmp_path, order):
    sizes = {"x": 40, "y": 30, CHANNEL: 3}
    pixels = noise([sizes[name] for name in order])
    source = source_of(
        pixels, order, coordinate_names=("x", "y"), is_rgb=CHANNEL in order
    )
    path = export_region(source, tmp_path / "a.png")[0]
    picture = ["y", "x", *([CHANNEL] if CHANNEL in order else [])]
    with Image.open(path) as image:
        expected = pixels.transpose([order.index(name) for name in picture])
        assert np.array_equal(np.asarray(image), expected)


@pytest.mark.parametrize("shape", [(1, 1), (1, 700), (17, 33), (513, 5), (40, 9, 9)])
@pytest.mark.parametrize("compression", ["zlib", "none"])
def test_tiles_are_as_small_as_planes(tmp_path, shape, compression):
    pixels = noise(shape)
    axes = ("z", "y", "x")[-len(shape) :]
    path = export_region(
        source_of(pixels, axes), tmp_path / "a.tif", compression=compression
    )[0]
    with tifffile.TiffFile(path) as file:
        page = file.pages[0]
        assert page.tilelength <= -(-shape[-2] // 16) * 16
        assert page.tilewidth <= -(-shape[-1] // 16) * 16
        assert page.tilelength % 16 == page.tilewidth % 16 == 0
        assert np.array_equal(file.asarray().reshape(shape), pixels)


def test_filled_tiles_count_for_bigtiff(tmp_path, monkeypatch):
    pixels = noise((40, 17, 17))
    monkeypatch.setattr(_export_tiff, "_BIG", 30_000)
    assert pixels.nbytes < 30_000 < 40 * 32 * 32
    path = export_region(
        source_of(pixels, ("z", "y", "x")), tmp_path / "a.tif", compression="none"
    )[0]
    with tifffile.TiffFile(path) as file:
        assert file.is_bigtiff
        assert np.array_equal(file.asarray(), pixels)


@pytest.mark.parametrize(
    ("n_stored", "channels", "is_rgb", "dtype"),
    [
        (5, [0, 2, 4], False, "uint8"),
        (3, None, False, "uint8"),
        (3, None, True, "uint8"),
        (4, [0, 1, 2], True, "uint8"),
        (4, [2, 1, 0], True, "uint8"),
        (3, None, True, "uint16"),
        (2, None, False, "uint8"),
    ],
)
def test_a_cut_out_knows_whether_it_is_colours(
    tmp_path, n_stored, channels, is_rgb, dtype
):
    pixels = noise((n_stored, 9, 12), dtype)
    source = source_of(pixels, (CHANNEL, "y", "x"), is_rgb=is_rgb)
    path = export_region(source, tmp_path / "a.soma", channels=channels)[0]
    with MultiscaleImage.open(path) as image:
        found = export_source(image)
    assert found.is_rgb == (is_rgb and channels in (None, [0, 1, 2]))


def test_a_cut_out_knows_labels_and_channels(tmp_path):
    labels = source_of(GRAY.astype("i4"), is_labels=True)
    with MultiscaleImage.open(export_region(labels, tmp_path / "l.soma")[0]) as image:
        assert export_source(image).is_labels
    named = source_of(
        noise((3, 9, 9)), (CHANNEL, "y", "x"), channel_names=("DAPI", "GFP", "Cy5")
    )
    path = export_region(named, tmp_path / "c.soma", channels=["Cy5", "DAPI"])[0]
    with MultiscaleImage.open(path) as image:
        assert export_source(image).channel_names == ("Cy5", "DAPI")


def test_flipped_images_cover_the_same_place(tmp_path):
    flip = np.array([[2.0, 0, 5], [0, -3.0, 100], [0, 0, 1]])
    source = dataclasses.replace(source_of(GRAY, units=("um", "um")), to_world=flip)
    region = (4, 2, 14, 8)  # x 4 to 14: from 100 - 3 * 14 to 100 - 3 * 4
    path = export_region(source, tmp_path / "a.ome.tif", region=region)[0]
    with tifffile.TiffFile(path) as file:
        plane = ET.fromstring(file.ome_metadata).find(".//{*}Plane")
        assert np.array_equal(file.asarray(), GRAY[2:8, 4:14])
    assert float(plane.get("PositionX")) == 58
    assert float(plane.get("PositionY")) == 9
    plan = plan_export(source, tmp_path / "a.ome.zarr", region=region)
    assert plan.files[0].origin == (9, 88)
    assert any("flipped" in note for note in plan.notes)
    pytest.importorskip("zarr")
    path = export_region(source, tmp_path / "a.ome.zarr", region=region)[0]
    dataset = strict_json(f"{path}/zarr.json")["attributes"]["ome"]["multiscales"][0]
    transforms = dataset["datasets"][0]["coordinateTransformations"]
    assert transforms[0]["scale"] == [2, 3]
    assert transforms[1]["translation"] == [10, 59.5]


def test_planes_of_a_flipped_stack_have_their_height(tmp_path):
    flip = np.diag([-2.0, 1, 1, 1])
    flip[0, -1] = 50
    source = dataclasses.replace(
        source_of(noise((3, 9, 9)), ("z", "y", "x")), to_world=flip
    )
    path = export_region(source, tmp_path / "a.ome.tif")[0]
    with tifffile.TiffFile(path) as file:
        planes = ET.fromstring(file.ome_metadata).findall(".//{*}Plane")
    # Low faces, as of x and y: plane i is between 50 - 2 * i and 48 - 2 * i.
    assert [float(plane.get("PositionZ")) for plane in planes] == [48, 46, 44]
    parts = export_region(source, tmp_path / "b.ome.tif", region=(0, 0, 1, 9, 9, 3))
    with tifffile.TiffFile(parts[0]) as file:
        planes = ET.fromstring(file.ome_metadata).findall(".//{*}Plane")
    assert [float(plane.get("PositionZ")) for plane in planes] == [46, 44]


# Where the pixels come from


def test_the_source_is_not_replaced(tmp_path):
    zarr = pytest.importorskip("zarr")
    array = zarr.create_array(
        tmp_path / "z.zarr", shape=(100, 100), chunks=(50, 50), dtype="u1"
    )
    array[:] = 7
    options = {"region": (0, 0, 9, 9), "overwrite": True}
    for place in ("z.zarr", "z.zarr/a.npy"):
        with pytest.raises(ArgumentError, match="pixels come from"):
            export_region(source_of(array), tmp_path / place, **options)
    assert (zarr.open_array(tmp_path / "z.zarr")[:] == 7).all()

    mapped = np.lib.format.open_memmap(tmp_path / "m.npy", "w+", "u1", (100, 100))
    (tmp_path / "link.npy").symlink_to(tmp_path / "m.npy")
    with pytest.raises(ArgumentError, match="pixels come from"):
        export_region(source_of(mapped[10:]), tmp_path / "m.npy", **options)


def test_what_is_around_the_source_is_not_replaced(tmp_path):
    export_region(source_of(), tmp_path / "around.soma", region=(2, 2, 9, 9))
    uri = str(tmp_path / "around.soma" / "img" / "image")
    inner = uri if os.path.isdir(uri) else None
    assert inner is not None
    for place in (tmp_path / "around.soma", f"{uri}/level0"):
        with pytest.raises(ArgumentError, match="pixels come from"):
            export_region(uri, place, format="soma", overwrite=True)
    (tmp_path / "link").symlink_to(tmp_path / "around.soma")
    with pytest.raises(ArgumentError, match="inside of that"):
        export_region(
            str(tmp_path / "link" / "img" / "image"),
            tmp_path / "around.soma",
            overwrite=True,
        )


# Files


def test_a_write_protected_file_stays(tmp_path, monkeypatch):
    path = tmp_path / "a.npy"
    path.write_text("mine")
    access = os.access
    monkeypatch.setattr(
        os, "access", lambda p, mode: str(p) != str(path) and access(p, mode)
    )
    with pytest.raises(AccessError, match="write-protected"):
        export_region(source_of(), path, overwrite=True)
    assert path.read_text() == "mine"


@pytest.mark.parametrize("is_lost", [False, True])
def test_a_part_that_was_finished_meanwhile_is_not_emptied(
    tmp_path, monkeypatch, is_lost
):
    path, part = str(tmp_path / "a.npy"), str(tmp_path / "a.npy.part")
    lock = _export_files._lock

    def late(handle, name):
        if is_lost:
            os.unlink(part)
        else:
            with open(part, "w") as file:
                file.write("complete")
            os.replace(part, path)
        lock(handle, name)

    monkeypatch.setattr(_export_files, "_lock", late)
    with (
        pytest.raises(BusyError, match="just written"),
        _export_files.part_of(path, is_folder=False, overwrite=True),
    ):
        pytest.fail("the part of somebody else")
    assert is_lost or (tmp_path / "a.npy").read_text() == "complete"


def test_two_exports_at_once_give_one_whole_file(tmp_path):
    pixels = noise((600, 600))
    errors = []

    def work():
        try:
            export_region(source_of(pixels), tmp_path / "a.npy", json=False)
        except SOMAError as err:
            errors.append(type(err).__name__)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(errors) <= {"BusyError", "AlreadyExistsError"}
    assert len(errors) == 5
    assert np.array_equal(np.load(tmp_path / "a.npy"), pixels)
    assert os.listdir(tmp_path) == ["a.npy"]
