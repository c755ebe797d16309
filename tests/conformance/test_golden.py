"""Stores written by tiledbsoma, compared with the answers it gave when it wrote them.

`golden/make_golden.py` made both. ``raises`` in an answer is the kind of upstream's
error: ours is of the same built-in kind, its message is its own.
"""

from __future__ import annotations

import builtins
import functools
import json
import tarfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import napari_msimage
from napari_msimage import (
    Collection,
    MultiscaleImage,
    ScaleTransform,
    Scene,
    SOMAError,
)

from .describe import sha256, space_facts, transform_facts

GOLDEN = Path(__file__).with_name("golden")
STORES = {
    path.name.removesuffix(".expected.json"): json.loads(path.read_text("utf-8"))
    for path in sorted(GOLDEN.glob("*.expected.json"))
}
#: Levels that upstream still counts after their deletion, by store.
DELETED_AT = {"history": ("level1", 1_700_000_002_000)}


def image_id(case: tuple[str, dict[str, Any]]) -> str:
    store, image = case
    stamp = image["tiledb_timestamp"]
    return ":".join([store, image["path"], "now" if stamp is None else str(stamp)])


IMAGES = [
    (store, image) for store, facts in STORES.items() for image in facts["images"]
]
REGIONS = [
    pytest.param(store, image, region, id=f"{image_id((store, image))}-{number}")
    for store, image in IMAGES
    for number, region in enumerate(image["regions"])
]
each_image = pytest.mark.parametrize("case", IMAGES, ids=image_id)


@pytest.fixture(scope="session")
def golden(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("golden")
    for store in STORES:
        with tarfile.open(GOLDEN / f"{store}.soma.tar.gz") as archive:
            # Python 3.11.2, Debian 12's, does not know the argument yet
            safely = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
            archive.extractall(folder, **safely)
    return folder


def uri_of(golden: Path, store: str, image: dict[str, Any]) -> str:
    return str(golden / f"{store}.soma" / image["path"])


@pytest.fixture
def opened(golden, case):
    store, expected = case
    uri = uri_of(golden, store, expected)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", napari_msimage.errors.StoreWarning)
        image = MultiscaleImage.open(uri, tiledb_timestamp=expected["tiledb_timestamp"])
    with image:
        yield image, without_deleted(store, expected)


def without_deleted(store: str, expected: dict[str, Any]) -> dict[str, Any]:
    """Upstream's answers, less a level that it counts although it is deleted."""
    key, deleted_at = DELETED_AT.get(store, (None, None))
    stamp = expected["tiledb_timestamp"]
    if key is None or (stamp is not None and stamp < deleted_at):
        return expected
    assert key in expected["level_order"]
    assert key not in expected["keys"]
    levels = [level for level in expected["levels"] if level["name"] != key]
    return {
        **expected,
        "level_count": expected["level_count"] - 1,
        "level_order": [name for name in expected["level_order"] if name != key],
        "levels": levels,
        "levels_call": {
            level["name"]: [level["directory"], level["shape"]] for level in levels
        },
    }


def assert_transform(transform: Any, expected: dict[str, Any]) -> None:
    facts = transform_facts(transform)
    assert facts["class"] == expected["type"]
    assert list(facts["input_axes"]) == expected["input_axes"]
    assert list(facts["output_axes"]) == expected["output_axes"]
    assert facts["matrix"] == expected["matrix"]
    assert facts.get("scale_factors") == expected.get("scale_factors")


@each_image
def test_getters(opened):
    image, expected = opened
    assert image.soma_type == expected["soma_type"]
    assert space_facts(image.coordinate_space) == [
        (axis["name"], axis["unit"]) for axis in expected["coordinate_space"]
    ]
    assert list(image.data_axis_order) == expected["data_axis_order"]
    assert image.has_channel_axis == expected["has_channel_axis"]
    assert image.nchannels == expected["nchannels"]
    assert image.level_count == expected["level_count"]
    assert list(image.keys()) == expected["keys"]
    assert image.dtype == np.dtype(expected["dtype"])


@each_image
def test_levels(opened):
    image, expected = opened
    levels = image.levels()
    assert list(levels) == expected["level_order"]
    assert {
        key: [uri.rpartition("/")[2], list(shape)]
        for key, (uri, shape) in levels.items()
    } == expected["levels_call"]
    for index, level in enumerate(expected["levels"]):
        assert level["present"] == (level["name"] in image)
        for name in (index, level["name"]):
            assert list(image.level_shape(name)) == level["shape"]
            assert image.level_uri(name).rpartition("/")[2] == level["directory"]


@each_image
def test_transforms(opened):
    image, expected = opened
    for index, level in enumerate(expected["levels"]):
        for name in (index, level["name"]):
            assert_transform(image.get_transform_to_level(name), level["to_level"])
            assert_transform(image.get_transform_from_level(name), level["from_level"])


@each_image
def test_pixels(opened):
    image, expected = opened
    for level in expected["levels"]:
        array = image[level["name"]]
        assert list(array.shape) == level["array_shape"]
        pixels = array.read()
        assert pixels.dtype.name == level["dtype"]
        assert sha256(pixels) == level["sha256_c_order_le"]
        for pixel in level["pixels"]:
            value = pixels[tuple(pixel["index"])].item()
            assert (None if value != value else value) == pixel["value"]


@each_image
def test_lazy_levels_read_the_same_pixels(opened):
    image, expected = opened
    for index, level in enumerate(expected["levels"]):
        lazy = image.level_array(index)
        assert list(lazy.shape) == level["array_shape"]
        assert sha256(np.asarray(lazy)) == level["sha256_c_order_le"]


@each_image
def test_metadata(opened):
    image, expected = opened
    metadata = {
        key: value.decode() if isinstance(value, bytes) else value
        for key, value in image.metadata.items()
    }
    if image.level_count == expected["level_count"]:
        stored = {
            key: value
            for key, value in expected["raw_metadata"].items()
            if not key.startswith("soma_level_")
            or key.removeprefix("soma_level_") in expected["level_order"]
        }
    assert {key: metadata[key] for key in stored} == stored
    extra = {
        key: value for key, value in metadata.items() if not key.startswith("soma_")
    }
    assert extra == expected["user_metadata"]


@pytest.mark.parametrize(("store", "expected", "region"), REGIONS)
def test_regions(golden, store, expected, region):
    options: dict[str, Any] = {}
    if "channel_coords" in region:
        channels = region["channel_coords"]
        options["channel_coords"] = (
            slice(*channels) if isinstance(channels, list) else channels
        )
    if "region_scale" in region:
        options["region_transform"] = ScaleTransform(
            ("a", "b"), ("x", "y"), region["region_scale"]
        )
    uri = uri_of(golden, store, expected)
    stamp = expected["tiledb_timestamp"]
    with MultiscaleImage.open(uri, tiledb_timestamp=stamp) as image:
        if region.get("raises") == "NotImplementedError":
            # 3-D images: upstream reads no regions of them
            read = image.read_spatial_region(
                region["level"], region["region"], **options
            )
            (level,) = [row for row in expected["levels"] if row["index"] == 0]
            assert sha256(read.data) == level["sha256_c_order_le"]
            return
        if "raises" in region:
            kind = getattr(builtins, region["raises"])
            with pytest.raises(kind, match=r"(?i)region") as info:
                image.read_spatial_region(region["level"], region["region"], **options)
            assert isinstance(info.value, SOMAError)
            return
        read = image.read_spatial_region(region["level"], region["region"], **options)
    assert list(read.data.shape) == region["shape"]
    assert sha256(read.data) == region["sha256_c_order_le"]
    for at, value in ((0, region["first"]), (-1, region["last"])):
        found = read.data.flat[at].item()
        assert (None if found != found else found) == value
    assert_transform(read.coordinate_transform, region["transform"])
    assert list(read.data_coordinate_space.axis_names) == region["data_axes"]
    assert list(read.output_coordinate_space.axis_names) == region["output_axes"]


@pytest.mark.parametrize(
    ("store", "stamp"),
    [
        (store, stamp)
        for store, facts in STORES.items()
        for stamp in facts.get("not_an_image_at", ())
    ],
)
def test_image_is_none_before_it_was_made(golden, store, stamp):
    uri = str(golden / f"{store}.soma")
    assert not MultiscaleImage.exists(uri, tiledb_timestamp=stamp)
    with pytest.raises(SOMAError, match=r"soma_object_type|no image"):
        MultiscaleImage.open(uri, tiledb_timestamp=stamp)


@pytest.mark.parametrize(
    ("store", "kind"),
    [
        ("scene", "SOMAScene"),
        ("experiment_spatial", "SOMAExperiment"),
        ("all_dtypes", "SOMACollection"),
    ],
)
def test_other_objects_are_named(golden, store, kind):
    uri = str(golden / f"{store}.soma")
    assert not MultiscaleImage.exists(uri)
    with pytest.raises(SOMAError, match=kind):
        MultiscaleImage.open(uri)


# Scenes -----------------------------------------------------------------------------

SCENES = {name: facts["scene"] for name, facts in STORES.items() if "scene" in facts}
each_scene = pytest.mark.parametrize("store", SCENES)


@pytest.fixture
def scene(golden, store):
    path = SCENES[store]["path"]
    with Scene.open(f"{golden / store}.soma/{path}".rstrip("/")) as opened:
        yield opened, SCENES[store]


@each_scene
def test_members_and_space_of_scenes(scene):
    opened, expected = scene
    assert opened.soma_type == "SOMAScene"
    assert space_facts(opened.coordinate_space) == [
        (axis["name"], axis["unit"]) for axis in expected["coordinate_space"]
    ]
    assert list(opened) == expected["members"]
    assert list(opened.img) == expected["img"]
    assert {
        key: value
        for key, value in opened.img.metadata.items()
        if key.startswith("soma_scene_registry_")
    } == expected["registry"]


@each_scene
def test_transforms_of_scenes(scene):
    opened, expected = scene
    calls = {
        "transforms_to": opened.get_transform_to_multiscale_image,
        "transforms_from": opened.get_transform_from_multiscale_image,
        "transforms_to_level1": functools.partial(
            opened.get_transform_to_multiscale_image, level=1
        ),
    }
    for name, call in calls.items():
        for key in expected["img"]:
            facts = expected[name].get(key)
            if facts is None:
                with pytest.raises(KeyError, match=f"No transform to {key!r}"):
                    call(key)
            else:
                assert_transform(call(key), facts)


@each_scene
def test_dataframes_of_scenes_are_listed(scene):
    opened, expected = scene
    assert opened.obsl.member_type("loc") == "SOMAPointCloudDataFrame"
    assert list(opened.varl["RNA"]) == ["transcripts"]
    to = opened.get_transform_to_point_cloud_dataframe("loc")
    assert_transform(to, expected["loc"]["transform"])
    with pytest.raises(NotImplementedError, match="SOMAPointCloudDataFrame"):
        opened.varl["RNA"]["transcripts"]


def test_experiment_is_walked_as_a_collection(golden):
    with Collection.open(str(golden / "experiment_spatial.soma")) as opened:
        assert opened.soma_type == "SOMAExperiment"
        assert opened.metadata["dataset_type"] == "soma"
        assert list(opened) == ["ms", "obs", "spatial"]
        assert opened.member_type("obs") == "SOMADataFrame"
        with pytest.raises(NotImplementedError, match=r"'obs'.*'SOMADataFrame'"):
            opened["obs"]
        spatial = opened["spatial"]
        assert list(spatial) == STORES["experiment_spatial"]["scenes"]
        assert spatial["scene2"].coordinate_space is None
        assert list(spatial["scene2"]) == []
        assert spatial["scene 1"].img["hires"].level_count == 2


def test_collection_of_images_opens(golden):
    with Collection.open(str(golden / "all_dtypes.soma")) as opened:
        assert opened.soma_type == "SOMACollection"
        for key, image in opened.items():
            assert image.dtype == np.dtype(key)


def test_deleted_level_is_a_leftover_that_upstream_keeps(golden):
    """Upstream's deletion leaves the level's metadata: it is skipped with a warning."""
    uri = str(golden / "history.soma")
    with pytest.warns(napari_msimage.errors.StoreWarning, match="level1"):
        image = MultiscaleImage.open(uri)
    assert image.level_count == 1
    image.close()
