"""Plans of exports: paths, pixels, place, notes, and what is refused."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from napari_msimage.engines import (
    ExportSource,
    ImageRegion,
    level_table,
    level_within,
    nearest_level,
    plan_export,
)
from napari_msimage.errors import (
    ArgumentError,
    ArgumentTypeError,
    LevelIndexError,
    LevelKeyError,
    RegionError,
    UnsupportedError,
)

CHANNEL = "soma_channel"


class Promised:
    """Pixels that must not be read."""

    def __init__(self, shape, dtype="uint8"):
        self.shape = shape
        self.dtype = np.dtype(dtype)

    def __getitem__(self, key):
        raise AssertionError("a plan reads no pixels")


def source(shapes=((3, 80, 200), (3, 40, 100)), order=(CHANNEL, "y", "x"), **more):
    dtype = more.pop("dtype", "uint8")
    n_axes = sum(name != CHANNEL for name in order)
    facts = {
        "to_world": np.diag([*[0.5] * n_axes, 1.0]),
        "units": ("micrometer",) * n_axes,
        **more,
    }
    levels = tuple(Promised(shape, dtype) for shape in shapes)
    return ExportSource("slide", levels, order, **facts)


def test_a_plan_says_pixels_cost_and_place(tmp_path):
    plan = plan_export(source(), tmp_path / "a.npy", region=(10, 21, 50, 61), level=1)
    (file,) = plan.files
    assert file.window == ((0, 3), (10, 31), (5, 25))
    assert file.shape == (3, 21, 20)
    assert file.nbytes == 3 * 21 * 20
    assert file.pixel_size == (1.0, 1.0)
    assert file.origin == (10.0, 5.0)
    assert (file.lower, file.upper) == ((20.0, 10.0), (62.0, 50.0))
    assert plan.paths == (str(tmp_path / "a.npy"), str(tmp_path / "a.npy.json"))
    assert "3 x 21 x 20" in str(plan)
    assert "1, 1 micrometer" in str(plan)
    assert list(tmp_path.iterdir()) == []


def test_numbers_are_in_the_order_of_the_coordinate_space(tmp_path):
    given = source(coordinate_names=("y", "x"))
    plan = plan_export(given, tmp_path / "a.npy", region=(1, 2, 11, 32))
    assert plan.files[0].window == ((0, 3), (1, 11), (2, 32))


def test_the_origin_goes_through_any_transform(tmp_path):
    matrix = np.array([[0.0, -2.0, 7.0], [3.0, 0.0, 5.0], [0.0, 0.0, 1.0]])
    plan = plan_export(
        source(to_world=matrix), tmp_path / "a.npy", region=(10, 20, 30, 40), level=1
    )
    (file,) = plan.files
    assert file.origin == (7 - 2 * 10, 5 + 3 * 20)
    assert file.pixel_size == (6.0, 4.0)
    assert np.allclose(file.to_world @ [1, 0, 1], matrix @ [22, 10, 1])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.npy", "npy"),
        ("a.PNG", "png"),
        ("a.tif", "ome-tiff"),
        ("a.ome.tiff", "ome-tiff"),
        ("a.soma", "soma"),
        ("a.b.npy", "npy"),
    ],
)
def test_the_ending_says_the_format(tmp_path, name, expected):
    given = source(is_rgb=True)
    assert plan_export(given, tmp_path / name).format == expected


def test_an_unknown_ending_lists_the_known_ones(tmp_path):
    with pytest.raises(ArgumentError, match=r"\.ome\.tiff.*\.npy"):
        plan_export(source(), tmp_path / "a.jpg")
    assert plan_export(source(), tmp_path / "a.jpg", format="npy").format == "npy"


# Several regions


REGIONS = [
    ImageRegion((0, 0), (5, 5), "tumour"),
    ImageRegion((5, 5), (9, 9), "a/b"),
    ImageRegion((5, 5), (9, 9), "tumour"),
    ImageRegion((5, 5), (9, 9)),
]


@pytest.mark.parametrize(
    ("template", "expected", "table"),
    [
        ("a.npy", ["a_1", "a_2", "a_3", "a_4"], "a.csv"),
        ("{name}_{region}.npy", ["slide_tumour", "slide_a_b", "slide_tumour-2"], None),
        ("{label}-{level}.npy", ["tumour-0", "a_b-0", "tumour-0-2", "region4-0"], None),
        ("{index:03}.npy", ["001", "002", "003", "004"], "regions.csv"),
        ("x{2}{index}.npy", ["x{2}1", "x{2}2"], None),
    ],
)
def test_names_of_several_files(tmp_path, template, expected, table):
    plan = plan_export(source(), tmp_path / template, region=REGIONS)
    found = [file.path.removeprefix(f"{tmp_path}/") for file in plan.files]
    assert found[: len(expected)] == [f"{name}.npy" for name in expected]
    assert len(set(found)) == 4
    assert table is None or plan.csv_path == str(tmp_path / table)


def test_the_number_goes_before_any_ending(tmp_path):
    plan = plan_export(source(), tmp_path / "a.dat", region=REGIONS, format="npy")
    found = [file.path for file in plan.files[:2]]
    assert found == [str(tmp_path / "a_1.dat"), str(tmp_path / "a_2.dat")]
    assert plan.csv_path == str(tmp_path / "a.csv")


def test_braces_of_a_single_file_stay(tmp_path):
    plan = plan_export(source(), tmp_path / "{x}.npy")
    assert plan.paths[0] == str(tmp_path / "{x}.npy")
    assert plan.csv_path is None


def test_no_region_is_an_error(tmp_path):
    with pytest.raises(RegionError, match="no region"):
        plan_export(source(), tmp_path / "a.npy", region=[])


# What is refused


@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("", "empty"),
        ("  ", "empty"),
        ("a\0.npy", "NUL"),
        ("a\n.npy", "control"),
        ("a" * 252 + ".npy", "256 bytes"),
    ],
)
def test_names_that_no_file_can_have(tmp_path, name, match):
    place = f"{tmp_path}/{name}" if name.strip() else name
    with pytest.raises(ArgumentError, match=match):
        plan_export(source(), place)


def test_a_folder_is_no_name_of_a_file(tmp_path):
    with pytest.raises(ArgumentError, match="name of a folder"):
        plan_export(source(), f"{tmp_path}/", format="npy")


def test_files_go_to_local_folders(tmp_path):
    with pytest.raises(UnsupportedError, match="local folders"):
        plan_export(source(), "s3://bucket/a.npy")
    with pytest.raises(ArgumentTypeError, match="NoneType"):
        plan_export(source(), None)
    with pytest.raises(ArgumentError, match="inside of the image"):
        plan_export(source(uri=str(tmp_path / "i")), tmp_path / "i" / "a.npy")


@pytest.mark.parametrize(
    ("region", "match"),
    [
        ((0, 0, 0, 5), "no extent along x"),
        ((0, 0, float("nan"), 5), "finite"),
        ((300, 0, 310, 5), "x 300 to 310.*outside the image .*x 0 to 200"),
        ((0, 0, 5), "expected 4"),
    ],
)
def test_bad_regions(tmp_path, region, match):
    with pytest.raises(RegionError, match=match):
        plan_export(source(), tmp_path / "a.npy", region=region)


def test_levels_by_key_and_by_index(tmp_path):
    given = source(level_keys=("full", "half"))
    for level in (1, -1, "half", np.int64(1)):
        plan = plan_export(given, tmp_path / "a.npy", level=level)
        assert (plan.level, plan.level_key) == (1, "half")
    with pytest.raises(LevelKeyError, match="'full', 'half'"):
        plan_export(given, tmp_path / "a.npy", level="third")
    with pytest.raises(LevelIndexError, match="no level 2; it has 2"):
        plan_export(given, tmp_path / "a.npy", level=2)
    with pytest.raises(ArgumentTypeError, match=r"1\.0"):
        plan_export(given, tmp_path / "a.npy", level=1.0)


def test_channels_by_name_and_by_index(tmp_path):
    given = source(channel_names=("DAPI", "CD3", "CD8"))
    for channels, expected in (
        (None, (0, 1, 2)),
        (1, (1,)),
        ("CD8", (2,)),
        (["CD8", 0], (2, 0)),
        ([-1], (2,)),
    ):
        plan = plan_export(given, tmp_path / "a.npy", channels=channels)
        assert plan.channels == expected
        assert plan.files[0].shape[0] == len(expected)
    for channels in ("CD4", 3, [0, 0], [], [1, "CD3"]):
        with pytest.raises(ArgumentError, match="channel"):
            plan_export(given, tmp_path / "a.npy", channels=channels)
    plain = source(((8, 8),), ("y", "x"))
    with pytest.raises(ArgumentError, match="no channel axis"):
        plan_export(plain, tmp_path / "a.npy", channels=0)


@pytest.mark.parametrize(
    ("given", "name", "match"),
    [
        (source(), "a.png", "3 channels"),
        (source(dtype="float32", is_rgb=True), "a.png", "float32"),
        (source(dtype="uint16", is_rgb=True), "a.png", "RGB of 8 bits"),
        (source(((20000, 20000),), ("y", "x")), "a.png", "200 megapixels.*400"),
        (source(((5, 8, 8),), ("z", "y", "x")), "a.png", "one plane"),
        (source(dtype="int64"), "a.tif", "int64.*ome-zarr or npy"),
        (source(dtype="float16"), "a.soma", "float16"),
        (source(dtype="bool"), "a.png", "bool"),
    ],
)
def test_formats_say_what_they_cannot_hold(tmp_path, given, name, match):
    with pytest.raises(UnsupportedError, match=match):
        plan_export(given, tmp_path / name)


def test_png_takes_one_plane_of_a_stack_along_any_axis(tmp_path):
    given = source(((5, 8, 9),), ("z", "y", "x"))
    for region in ((0, 0, 2, 9, 8, 3), (0, 4, 0, 9, 5, 5), (3, 0, 0, 4, 8, 5)):
        plan = plan_export(given, tmp_path / "a.png", region=region)
        assert sorted(plan.files[0].shape)[0] == 1


@pytest.mark.parametrize(
    ("package", "name", "options", "match"),
    [
        ("imagecodecs", "a.tif", {"compression": "zstd"}, r"napari-msimage\[zstd\]"),
        ("zarr", "a.zarr", {}, r"napari-msimage\[zarr\]"),
    ],
)
def test_packages_that_are_missing_are_named(
    tmp_path, monkeypatch, package, name, options, match
):
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda n: None if n == package else real(n)
    )
    with pytest.raises(UnsupportedError, match=match):
        plan_export(source(), tmp_path / name, **options)


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"format": "jpg"}, ArgumentError, "format must be one of"),
        ({"compression": "lzw"}, ArgumentError, "compression must be one of"),
        ({"pyramid": True}, ArgumentError, "one level"),
        ({"mask": True, "fill_value": 300}, ArgumentError, "300.*uint8"),
        ({"mask": True, "fill_value": 0.5}, ArgumentError, "0.5.*uint8"),
        ({"alpha": True}, UnsupportedError, "fill value instead"),
    ],
)
def test_options_that_make_no_sense(tmp_path, options, error, match):
    with pytest.raises(error, match=match):
        plan_export(source(), tmp_path / "a.npy", **options)


# Notes


def test_a_rotation_that_is_lost_is_noted(tmp_path):
    turned = np.array([[0.8, -0.6, 0], [0.6, 0.8, 0], [0, 0, 1.0]])
    given = source(to_world=turned)
    (note,) = plan_export(given, tmp_path / "a.tif").notes
    assert "bounding box" in note
    assert "not in the file" in note
    (note,) = plan_export(given, tmp_path / "a.npy").notes
    assert ".json" in note
    assert plan_export(given, tmp_path / "a.soma").notes == ()
    assert plan_export(source(), tmp_path / "a.tif").notes == ()


def test_flips_and_outlines_are_noted(tmp_path):
    flipped = source(to_world=np.diag([1.0, -1.0, 1.0]))
    assert "flipped" in plan_export(flipped, tmp_path / "a.tif").notes[0]
    box = np.array([[1, 1], [1, 5], [5, 5], [5, 1.0]])
    tilted = np.array([[1, 3], [3, 5], [5, 3], [3, 1.0]])
    regions = [ImageRegion((1, 1), (5, 5), outline=one) for one in (box, tilted)]
    (note,) = plan_export(source(), tmp_path / "a.npy", region=regions).notes
    assert "1 of 2 regions" in note
    masked = plan_export(source(), tmp_path / "a.npy", region=regions, mask=True)
    assert masked.notes == ()


def test_another_order_of_the_axes_is_noted(tmp_path):
    given = source(((80, 90, 2),), ("y", "x", CHANNEL))
    (note,) = plan_export(given, tmp_path / "a.tif").notes
    assert "soma_channel, y, x" in note


# Levels


def test_the_table_has_a_row_per_level():
    rows = level_table(source(is_rgb=True), (0, 0, 100, 40), channels=[0, 1, 2])
    assert [row.shape for row in rows] == [(3, 40, 100), (3, 20, 50)]
    assert [row.nbytes for row in rows] == [12000, 3000]
    assert [row.pixel_size for row in rows] == [(0.5, 0.5), (1.0, 1.0)]
    assert set(rows[0].estimated_bytes) == {
        *("ome-tiff", "ome-zarr", "png", "npy", "soma")
    }
    assert rows[0].estimated_bytes["npy"] >= 12000
    assert rows[0].refusals == {}
    huge = source(((2**20, 2**21), (2**19, 2**20)), ("y", "x"))
    rows = level_table(huge)
    assert rows[0].nbytes == 2 * 2**40
    assert "megapixels" in rows[0].refusals["png"]


def test_the_table_of_many_regions_sums_up():
    given = source(is_rgb=True)
    bounds = [(0, 0, 100, 40), (3.5, 2, 9, 77), (20, 10, 21, 11)]
    parts = [level_table(given, one, pyramid=True) for one in bounds]
    rows = level_table(given, bounds, pyramid=True)
    for row, *singles in zip(rows, *parts, strict=True):
        assert row.shapes == tuple(one.shape for one in singles)
        assert row.nbytes == sum(one.nbytes for one in singles)
        for name, size in row.estimated_bytes.items():
            total = sum(one.estimated_bytes[name] for one in singles)
            assert abs(size - total) <= len(bounds)
        assert row.pixel_size == singles[0].pixel_size


def test_the_table_refuses_what_one_of_many_regions_is_refused_for():
    given = source(((4, 2**15, 2**15),), ("z", "y", "x"))
    small, deep = (0, 0, 0, 9, 9, 1), (0, 0, 0, 9, 9, 2)
    huge = (0, 0, 0, 2**15, 2**15, 1)
    for regions, words in (
        ([small, small], None),
        ([small, deep, small], "one plane"),
        ([small, huge], "megapixels"),
    ):
        (row,) = level_table(given, regions, formats=("png", "npy"))
        assert set(row.estimated_bytes) == {"png", "npy"}
        assert list(row.refusals) == ([] if words is None else ["png"])
        assert words is None or words in row.refusals["png"]


def test_the_level_of_many_regions_has_few_pixels_in_each():
    given = source(((80, 200), (40, 100), (20, 50)), ("y", "x"))
    small, large = (0, 0, 10, 10), (0, 0, 200, 80)
    assert level_within(given, 100, small) == 0
    assert level_within(given, 4000, [small, large]) == 1
    assert level_within(given, 1000, [large, small]) == 2
    with pytest.raises(ArgumentError, match="1,000 pixels at its coarsest"):
        level_within(given, 999, [small, large])


@pytest.mark.parametrize(
    ("size", "unit", "level"),
    [
        (0.1, None, 0),
        (0.7, "micrometer", 0),
        (0.72, "um", 1),
        (1000, "nm", 1),
        (1.5, "mm", 2),
        (1.4, "um", 1),
        (1.42, "um", 2),
    ],
)
def test_the_nearest_level_is_so_by_ratio(size, unit, level):
    given = source(((3, 80, 200), (3, 40, 100), (3, 20, 50)))
    assert nearest_level(given, size, unit) == level


def test_sizes_that_cannot_be_compared():
    with pytest.raises(ArgumentError, match="'second'"):
        nearest_level(source(), 1, "second")
    with pytest.raises(ArgumentError, match="pixel, which cannot"):
        nearest_level(source(units=(None, None)), 1, "um")
    with pytest.raises(ArgumentError, match="positive"):
        nearest_level(source(), 0)


def test_the_level_with_at_most_so_many_pixels():
    given = source(((3, 80, 200), (3, 40, 100), (3, 20, 50)))
    assert level_within(given, 16000) == 0
    assert level_within(given, 15999) == 1
    assert level_within(given, 2000, (0, 0, 100, 40)) == 1
    with pytest.raises(ArgumentError, match="1,000 pixels at its coarsest"):
        level_within(given, 999)


def test_other_things_are_no_images(tmp_path):
    with pytest.raises(ArgumentTypeError, match="ndarray"):
        plan_export(np.zeros((3, 3)), tmp_path / "a.npy")
