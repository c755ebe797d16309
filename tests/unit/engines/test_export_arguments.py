"""What export_region is asked for: regions, channels, places; and what it refuses."""

from __future__ import annotations

import csv

import numpy as np
import pytest
import shapely

from napari_msimage.engines import (
    ExportSource,
    ImageRegion,
    export_region,
    plan_export,
    write_export,
)
from napari_msimage.errors import (
    AlreadyExistsError,
    ArgumentError,
    ArgumentTypeError,
    LevelIndexError,
    RegionError,
)

CHANNEL = "soma_channel"
PIXELS = np.random.default_rng(0).integers(1, 250, (2, 40, 50)).astype(np.uint8)


def source_of(pixels=PIXELS, axes=(CHANNEL, "y", "x"), **facts):
    n = len([axis for axis in axes if axis != CHANNEL])
    return ExportSource("demo", (pixels,), axes, np.eye(n + 1), (None,) * n, **facts)


# Regions


RING = shapely.Point(20, 18).buffer(12).difference(shapely.Point(22, 18).buffer(5))


@pytest.mark.parametrize(
    "geometry", [RING, shapely.MultiPolygon([shapely.box(1, 1, 4, 5), RING])]
)
def test_pixels_outside_of_a_geometry_are_masked(tmp_path, geometry):
    path = tmp_path / "a.npy"
    export_region(source_of(), path, region=geometry, mask=True)
    x_min, y_min, x_max, y_max = geometry.bounds
    rows = slice(int(np.floor(y_min)), int(np.ceil(y_max)))
    columns = slice(int(np.floor(x_min)), int(np.ceil(x_max)))
    y, x = np.indices(PIXELS.shape[1:]) + 0.5
    expected = np.where(shapely.contains_xy(geometry, x, y), PIXELS, 0)
    assert np.array_equal(np.load(path), expected[:, rows, columns])
    assert (expected[:, rows, columns] == 0).any()


def test_geometries_without_an_area_are_boxes(tmp_path):
    plan = plan_export(
        source_of(), tmp_path / "a.npy", region=shapely.LineString([(1, 2), (5, 9)])
    )
    assert plan.files[0].shape == (2, 7, 4)


@pytest.mark.parametrize("region", [(5, 5, 1, 9), (5, 5, 9, 1)])
def test_a_region_that_ends_before_it_begins(tmp_path, region):
    with pytest.raises(RegionError, match=r"ends before it begins; expected \(x_min"):
        plan_export(source_of(), tmp_path / "a.npy", region=region)


# Channels and levels


def test_channels_may_be_an_array(tmp_path):
    export_region(source_of(), tmp_path / "a.npy", channels=np.array([1, 0]))
    assert np.array_equal(np.load(tmp_path / "a.npy"), PIXELS[::-1])
    plan = plan_export(source_of(), tmp_path / "b.npy", channels=np.array(1))
    assert plan.channels == (1,)
    with pytest.raises(ArgumentTypeError, match="index or a name"):
        plan_export(source_of(), tmp_path / "b.npy", channels=np.array([0.5]))


def test_a_level_is_one_number(tmp_path):
    with pytest.raises(ArgumentTypeError, match="index or a key"):
        plan_export(source_of(), tmp_path / "a.npy", level=np.array([0]))
    with pytest.raises(LevelIndexError, match="no level 3"):
        plan_export(source_of(), tmp_path / "a.npy", level=np.int64(3))


# Sources


@pytest.mark.parametrize(
    ("facts", "match"),
    [
        ({"levels": ()}, "no levels"),
        ({"levels": (PIXELS[:0],)}, r"level 0 has the shape \(0, 40, 50\)"),
        ({"levels": (PIXELS[0],)}, r"level 0 has the shape \(40, 50\)"),
        ({"axis_names": ("y", "y", "x")}, "not all different"),
        ({"to_world": np.eye(4)}, "3 x 3"),
        ({"to_world": np.diag([np.nan, 1, 1])}, "finite"),
        ({"units": ("um",)}, "1 units for 2 spatial axes"),
        ({"channel_names": ("a",)}, "1 channel names for 2 channels"),
        ({"channel_colors": ((1, 0, 0), (np.nan, 0, 0))}, "0 to 1"),
    ],
)
def test_sources_that_do_not_fit_are_refused(facts, match):
    given = {
        "name": "demo",
        "levels": (PIXELS,),
        "axis_names": (CHANNEL, "y", "x"),
        "to_world": np.eye(3),
        "units": (None, None),
    }
    with pytest.raises(ArgumentError, match=f"'demo' cannot be exported.*{match}"):
        ExportSource(**{**given, **facts})


# Names of files


def regions_of(*properties):
    return [
        ImageRegion((i, i), (i + 3, i + 3), "", properties=p)
        for i, p in enumerate(properties)
    ]


def test_properties_are_in_names(tmp_path):
    regions = regions_of({"class": "a/b", "score": 0.25}, {"class": "c", "score": 2.0})
    plan = plan_export(
        source_of(), tmp_path / "{class}_{score}_{index:02}.npy", region=regions
    )
    found = [file.path.removeprefix(f"{tmp_path}/") for file in plan.files]
    assert found == ["a_b_0.25_01.npy", "c_2_02.npy"]


@pytest.mark.parametrize("name", ["{nope}.npy", "{size}_{index}.npy"])
def test_fields_that_are_not_there_are_named(tmp_path, name):
    regions = regions_of({"class": 1, "size": 2}, {"class": 3})
    with pytest.raises(ArgumentError, match=r"called '(nope|size)'.*\{class\}"):
        plan_export(source_of(), tmp_path / name, region=regions)


def test_fields_in_names_of_folders_are_refused(tmp_path):
    (tmp_path / "d_{index}").mkdir()
    with pytest.raises(ArgumentError, match="not of folders"):
        plan_export(
            source_of(), tmp_path / "d_{index}" / "f.npy", region=regions_of({}, {})
        )


# Places


@pytest.mark.parametrize("ending", [".npy", ".png", ".ome.tif", ".zarr"])
@pytest.mark.parametrize("is_folder", [True, False])
def test_what_is_in_the_place_of_a_part_stays(tmp_path, ending, is_folder):
    path = tmp_path / f"a{ending}"
    part = tmp_path / f"a{ending}.part"
    precious = part / "precious" if is_folder else part
    precious.parent.mkdir(exist_ok=True)
    precious.write_text("mine")
    with pytest.raises(AlreadyExistsError, match=r"left as it is\. Move it away"):
        export_region(source_of(PIXELS[0], ("y", "x")), path, overwrite=True)
    assert precious.read_text() == "mine"
    assert not path.exists()


def test_what_is_in_the_place_of_coarser_levels_stays(tmp_path):
    precious = tmp_path / "a.ome.tif.levels.part" / "precious"
    precious.parent.mkdir()
    precious.write_text("mine")
    given = source_of(np.zeros((1200, 1200), np.uint8), ("y", "x"))
    with pytest.raises(AlreadyExistsError, match="leave pyramid out"):
        export_region(given, tmp_path / "a.ome.tif", pyramid=True)
    assert precious.read_text() == "mine"
    precious.unlink()
    (precious.parent / "level1" / "__schema").mkdir(parents=True)
    export_region(given, tmp_path / "a.ome.tif", pyramid=True)
    assert not precious.parent.exists()


def test_what_is_in_the_place_of_the_metadata_of_a_part_stays(tmp_path):
    (tmp_path / "a.npy.json.part").write_text("mine")
    with pytest.raises(AlreadyExistsError, match="Move it away"):
        export_region(source_of(), tmp_path / "a.npy")
    assert (tmp_path / "a.npy.json.part").read_text() == "mine"
    assert not (tmp_path / "a.npy").exists()


@pytest.mark.parametrize("ending", [".npy", ".soma"])
def test_a_file_is_no_folder(tmp_path, ending):
    (tmp_path / "file").touch()
    with pytest.raises(ArgumentError, match="file' is a file, not a folder"):
        export_region(source_of(), tmp_path / "file" / f"x{ending}")


@pytest.mark.parametrize("name", ["a.npy", "a.png", "a.soma"])
def test_messages_name_what_was_asked_for(tmp_path, name):
    given = source_of(PIXELS[0], ("y", "x"))
    export_region(given, tmp_path / name)
    with pytest.raises(AlreadyExistsError, match=rf"{name}'.*overwrite=True"):
        export_region(given, tmp_path / name)


def test_a_source_read_through_views_is_not_replaced(tmp_path):
    import dask.array as da
    import zarr

    zarr.save_array(tmp_path / "z.zarr", PIXELS[0])
    np.save(tmp_path / "n.npy", PIXELS[0])
    mapped = np.load(tmp_path / "n.npy", mmap_mode="r")
    for pixels, name in (
        (da.from_zarr(str(tmp_path / "z.zarr")), "z.zarr"),
        (np.asarray(mapped)[2:], "n.npy"),
    ):
        with pytest.raises(ArgumentError, match="the image that the pixels come from"):
            plan_export(source_of(pixels, ("y", "x")), tmp_path / name, overwrite=True)


# The table of several files


@pytest.mark.parametrize("how", ["cancelled", "failed"])
def test_the_table_tells_what_was_written_before_the_end(tmp_path, how):
    class Failing:
        shape, dtype, ndim = PIXELS.shape, PIXELS.dtype, 3

        def __getitem__(self, key):
            if key[1].start >= 2:
                raise OSError("the disk is gone")
            return PIXELS[key]

    given = source_of(Failing()) if how == "failed" else source_of()
    plan = plan_export(given, tmp_path / "a.npy", region=regions_of({}, {}, {}))
    engine = write_export(plan)
    if how == "failed":
        with pytest.raises(Exception, match="the disk is gone"):
            list(engine)
    else:
        for progress in engine:
            if progress.done > 2 * plan.files[0].nbytes:
                break
        engine.close()
    with open(tmp_path / "a.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    there = sorted(str(path) for path in tmp_path.glob("*.npy"))
    assert [row["file"] for row in rows] == there
    assert [row["index"] for row in rows] == ["1", "2"]
