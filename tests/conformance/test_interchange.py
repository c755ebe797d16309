"""Live, both ways: what one library writes, the other reads, everything equal."""

from __future__ import annotations

import warnings

import numpy as np
import pyarrow as pa
import pytest

import napari_msimage
from napari_msimage.errors import StoreWarning

from .cases import CASES, FORMATS, NUMERIC_DTYPES, ImageCase, random_pixels
from .describe import image_facts
from .store_suite import full, write, write_case

T0 = 1_700_000_000_000
WRITERS = ("ours", "upstream")


@pytest.fixture
def libraries(oracle):
    return {"ours": napari_msimage, "upstream": oracle}


@pytest.fixture
def uri(tmp_path):
    return str(tmp_path / "pyramid.soma")


def facts_of(soma, uri, **options):
    with soma.MultiscaleImage.open(uri, **options) as image:
        return image_facts(image)


def assert_same(libraries, uri, **options):
    """Check that both libraries see the same; return what."""
    ours = facts_of(libraries["ours"], uri, **options)
    assert ours == facts_of(libraries["upstream"], uri, **options)
    return ours


def other(writer):
    return "upstream" if writer == "ours" else "ours"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@pytest.mark.parametrize("writer", WRITERS)
def test_every_getter_transform_and_pixel_is_equal(libraries, uri, writer, case):
    write_case(libraries[writer], case, uri)
    facts = assert_same(libraries, uri)
    assert facts["data_axis_order"] == case.data_axes
    with libraries[other(writer)].MultiscaleImage.open(uri) as image:
        for key in case.levels:
            np.testing.assert_array_equal(
                np.asarray(image[key].read()), case.pixels(key), strict=True
            )


@pytest.mark.parametrize("dtype", NUMERIC_DTYPES)
@pytest.mark.parametrize("writer", WRITERS)
def test_every_numeric_type_is_equal(libraries, uri, writer, dtype):
    case = ImageCase(dtype, {"level0": (3, 13, 17), "level1": (3, 6, 8)}, dtype=dtype)
    write_case(libraries[writer], case, uri)
    assert_same(libraries, uri)
    with libraries[other(writer)].MultiscaleImage.open(uri) as image:
        np.testing.assert_array_equal(
            np.asarray(image["level1"].read()), case.pixels("level1"), strict=True
        )


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("writer", WRITERS)
def test_never_written_images_of_every_type_are_equal(libraries, uri, writer, name):
    unit = name.partition("[")[2].rstrip("]")
    kind = pa.timestamp(unit) if unit else pa.from_numpy_dtype(name)
    libraries[writer].MultiscaleImage.create(
        uri, type=kind, level_shape=(7, 9), has_channel_axis=False
    ).close()
    seen = []
    for soma in libraries.values():
        with soma.MultiscaleImage.open(uri) as image:
            facts = image_facts(image, pixels=False)
            array = image["level0"]
            facts["array"] = (array.shape, array.maxshape, array.non_empty_domain())
            if not unit:
                facts["fill"] = np.asarray(array.read()).tobytes()
            seen.append(facts)
    assert seen[0] == seen[1]


@pytest.mark.parametrize("writer", WRITERS)
def test_metadata_is_equal(libraries, uri, writer):
    values = {
        "text": "gölden",
        "empty": "",
        "int": -42,
        "float": 2.5,
        "long": "é" * 9999,
    }
    soma = libraries[writer]
    with soma.MultiscaleImage.create(
        uri, type=pa.uint8(), level_shape=(3, 5, 6)
    ) as image:
        for key, value in values.items():
            image.metadata[key] = value
            image["level0"].metadata[key] = value
        write(image["level0"], np.zeros((3, 5, 6), np.uint8))
    facts = assert_same(libraries, uri)
    assert values.items() <= facts["metadata"].items()
    assert values.items() <= facts["array level0"]["metadata"].items()


def test_boolean_metadata_of_upstream_does_no_harm(libraries, uri):
    upstream = libraries["upstream"].MultiscaleImage
    with upstream.create(uri, type=pa.uint8(), level_shape=(3, 5, 6)) as image:
        image.metadata["flag"] = True
        image.metadata["note"] = "text"
        image["level0"].metadata["flag"] = True
    with napari_msimage.MultiscaleImage.open(uri, "w") as image:
        image.metadata["more"] = 1
        assert image.metadata["note"] == "text"
        with pytest.raises(napari_msimage.SOMAError, match="flag"):
            image.metadata["flag"]
        write(image["level0"], np.zeros((3, 5, 6), np.uint8))
        image["level0"].metadata["more"] = 1
    with upstream.open(uri) as image:
        assert image.metadata["flag"] is True or image.metadata["flag"] == 1
        assert image.metadata["more"] == 1
        assert image["level0"].metadata["more"] == 1


@pytest.mark.parametrize("writer", WRITERS)
def test_every_moment_of_a_history_is_equal(libraries, uri, writer):
    soma = libraries[writer]
    first, second = (random_pixels((10, 20), "uint8", seed) for seed in (1, 2))
    with soma.MultiscaleImage.create(
        uri,
        type=pa.uint8(),
        level_shape=(10, 20),
        has_channel_axis=False,
        tiledb_timestamp=T0,
    ) as image:
        write(image["level0"], first)
    with soma.MultiscaleImage.open(uri, "w", tiledb_timestamp=T0 + 100) as image:
        write(image.add_new_level("level1", shape=(5, 10)), first[::2, ::2])
        image.metadata["step"] = 1
    with soma.MultiscaleImage.open(uri, "w", tiledb_timestamp=T0 + 200) as image:
        image["level0"].write((slice(2, 5), slice(3, 9)), second[2:6, 3:10])
        image.metadata["step"] = 2
    for age in (0, 50, 100, 150, 200, 1000):
        facts = assert_same(libraries, uri, tiledb_timestamp=T0 + age)
        assert facts["level_count"] == (1 if age < 100 else 2)
        assert facts["metadata"].get("step") == (None, 1, 2)[min(age // 100, 2)]
    for exists in (lib.MultiscaleImage.exists for lib in libraries.values()):
        assert not exists(uri, tiledb_timestamp=T0 - 1)


@pytest.mark.parametrize("writer", WRITERS)
def test_one_library_goes_on_where_the_other_stopped(libraries, uri, writer):
    case = CASES[0]
    write_case(libraries[writer], case, uri)
    pixels = random_pixels((3, 5, 7), "uint8")
    with libraries[other(writer)].MultiscaleImage.open(uri, "w") as image:
        write(image.add_new_level("l 1/é*", shape=(3, 5, 7)), pixels)
        image["level2"].write(full(3), pixels[:, :1, :1].repeat(9, 1).repeat(13, 2))
        image.metadata["by"] = other(writer)
        soma = libraries[other(writer)]
        image.coordinate_space = soma.CoordinateSpace(
            [soma.Axis("x", "µm"), soma.Axis("y", None)]
        )
    facts = assert_same(libraries, uri)
    assert facts["level_count"] == 4
    assert facts["coordinate_space"] == [("x", "µm"), ("y", None)]
    assert facts["metadata"]["by"] == other(writer)
    with libraries[writer].MultiscaleImage.open(uri) as image:
        np.testing.assert_array_equal(np.asarray(image["l 1/é*"].read()), pixels)


@pytest.mark.parametrize("mode", ["w", "d"])
def test_level_deleted_by_ours_is_gone_for_upstream(libraries, uri, mode):
    write_case(libraries["upstream"], CASES[0], uri)
    with (
        napari_msimage.MultiscaleImage.open(uri, mode) as image,
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore", DeprecationWarning)
        del image["level1"]
    facts = assert_same(libraries, uri)
    assert facts["keys"] == ["level0", "level2"]
    assert facts["level_count"] == 2
    with libraries["upstream"].MultiscaleImage.open(uri, "w") as image:
        write(
            image.add_new_level("new", shape=(3, 4, 5)), np.zeros((3, 4, 5), np.uint8)
        )
    assert assert_same(libraries, uri)["level_count"] == 3


def test_name_deleted_and_used_again_by_ours_is_the_new_level_for_upstream(
    libraries, uri
):
    write_case(libraries["upstream"], CASES[0], uri)
    with napari_msimage.MultiscaleImage.open(uri, "d") as image:
        del image["level1"]
    pixels = random_pixels((3, 4, 5), "uint8")
    with napari_msimage.MultiscaleImage.open(uri, "w") as image:
        write(image.add_new_level("level1", shape=(3, 4, 5)), pixels)
    assert_same(libraries, uri)
    with libraries["upstream"].MultiscaleImage.open(uri) as image:
        np.testing.assert_array_equal(np.asarray(image["level1"].read()), pixels)


def test_level_deleted_by_upstream_is_gone_for_ours(libraries, uri):
    write_case(libraries["ours"], CASES[0], uri)
    with libraries["upstream"].MultiscaleImage.open(uri, "d") as image:
        del image["level1"]
    with pytest.warns(StoreWarning, match="level1"):
        image = napari_msimage.MultiscaleImage.open(uri, "w")
    with image:
        assert list(image) == list(image.levels()) == ["level0", "level2"]
        pixels = random_pixels((3, 4, 5), "uint8")
        write(image.add_new_level("level1", shape=(3, 4, 5)), pixels)
    facts = assert_same(libraries, uri)
    assert facts["keys"] == ["level0", "level1", "level2"]
    with libraries["upstream"].MultiscaleImage.open(uri) as image:
        np.testing.assert_array_equal(np.asarray(image["level1"].read()), pixels)


@pytest.mark.parametrize("where", ["outside", "../outside", "image/inside"])
def test_arrays_set_by_ours_are_levels_for_upstream(libraries, uri, tmp_path, where):
    write_case(libraries["upstream"], CASES[0], uri)
    pixels = random_pixels((3, 4, 5), "uint8")
    address = str(tmp_path / "outside")
    if where == "image/inside":
        address = f"{uri}/inside"
    with napari_msimage.DenseNDArray.create(
        address, type="uint8", shape=(3, 4, 5)
    ) as array:
        write(array, pixels)
    relative = {"outside": False, "../outside": None, "image/inside": True}[where]
    with (
        napari_msimage.DenseNDArray.open(address) as array,
        napari_msimage.MultiscaleImage.open(uri, "w") as image,
    ):
        image.set("set", array, use_relative_uri=relative)
    assert "set" in assert_same(libraries, uri)["keys"]
    with libraries["upstream"].MultiscaleImage.open(uri) as image:
        np.testing.assert_array_equal(np.asarray(image["set"].read()), pixels)


@pytest.mark.parametrize("writer", WRITERS)
def test_chosen_level_addresses_are_equal(libraries, uri, writer, tmp_path):
    soma = libraries[writer]
    pixels = random_pixels((3, 5, 6), "uint8")
    addresses = ("sub folder", "../sibling", str(tmp_path / "far" / "away"))
    for number, level_uri in enumerate(addresses):
        address = f"{uri}{number}"
        with soma.MultiscaleImage.create(
            address, type=pa.uint8(), level_shape=(3, 5, 6), level_uri=level_uri
        ) as image:
            write(image["level0"], pixels)
            added = image.add_new_level("b", uri=f"{level_uri} b", shape=(3, 2, 2))
            write(added, pixels[:, :2, :2])
        assert_same(libraries, address)


def test_resized_level_keeps_its_shape_in_both(libraries, uri):
    write_case(libraries["ours"], CASES[0], uri)
    with napari_msimage.MultiscaleImage.open(uri, "w") as image:
        assert image["level2"].resize((3, 10, 14)) == (True, "")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", StoreWarning)
        facts = assert_same(libraries, uri)
    assert facts["level level2"]["shape"] == [(3, 9, 13)] * 2
    assert facts["array level2"]["shape"] == (3, 10, 14)


def test_column_major_results_are_equal(libraries, uri):
    write_case(libraries["upstream"], CASES[0], uri)
    blocks = []
    for soma in libraries.values():
        with soma.MultiscaleImage.open(uri) as image:
            coords = (1, slice(2, 9), slice(None, 4))
            blocks.append(
                np.asarray(image["level0"].read(coords, result_order="column-major"))
            )
    np.testing.assert_array_equal(*blocks, strict=True)
