"""What is on disk, seen with plain TileDB: the same as upstream writes."""

from __future__ import annotations

import json
import os

import numpy as np
import pyarrow as pa
import pytest
import tiledb

import napari_msimage

from .cases import CASES, CASES_BY_NAME, FORMATS, ImageCase
from .store_suite import write, write_case

#: Upstream's tile extent by number of dimensions (tiledbsoma 2.3).
UPSTREAM_EXTENTS = {1: 2048, 2: 512, 3: 128}


@pytest.fixture
def pair(tmp_path, oracle):
    """Write a case with both libraries; return the two addresses."""

    def write_both(case: ImageCase, **options) -> list[str]:
        libraries = {"ours": napari_msimage, "upstream": oracle}
        return [
            write_case(soma, case, str(tmp_path / name), **options)
            for name, soma in libraries.items()
        ]

    return write_both


def typed_metadata(meta):
    """Type and value of every entry; JSON parsed, since its spelling is free."""
    entries = {}
    for key in meta.keys():  # noqa: SIM118 - TileDB's items() reads otherwise
        value, kind = meta.__getitem__(key, include_type=True)
        if isinstance(value, str) and value[:1] in ("[", "{"):
            value = json.loads(value)
        entries[key] = (kind, value)
    return entries


def group_facts(uri):
    with tiledb.Group(uri) as group:
        members = {
            member.name: (
                member.uri.removeprefix(f"file://{uri}"),
                member.type.__name__,
                group.is_relative(member.name),
            )
            for member in group
        }
        return members, typed_metadata(group.meta)


def array_facts(uri):
    with tiledb.open(uri) as array:
        schema, rectangle = array.schema, array.schema.current_domain.ndrectangle
        attribute = schema.attr(0)
        return {
            "dims": [
                (dim.name, dim.dtype, int(dim.domain[0]), rectangle.range(number))
                for number, dim in enumerate(map(schema.domain.dim, range(schema.ndim)))
            ],
            "attributes": [schema.attr(number).name for number in range(schema.nattr)],
            "type": (attribute.dtype, attribute.isvar, attribute.isnullable),
            "fill": np.asarray(attribute.fill).tobytes(),
            "orders": (schema.cell_order, schema.tile_order, schema.sparse),
            "metadata": typed_metadata(array.meta),
        }


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_groups_are_the_same(pair, case):
    ours, upstream = map(group_facts, pair(case))
    assert ours == upstream


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_arrays_are_the_same_but_for_their_layout(pair, case):
    ours, upstream = pair(case)
    for folder in {uri for uri, _, _ in group_facts(ours)[0].values()}:
        assert array_facts(ours + folder) == array_facts(upstream + folder)


@pytest.mark.parametrize("name", FORMATS)
def test_every_type_is_stored_the_same(tmp_path, oracle, name):
    unit = name.partition("[")[2].rstrip("]")
    kind = pa.timestamp(unit) if unit else pa.from_numpy_dtype(name)
    facts = []
    for soma, uri in ((napari_msimage, tmp_path / "a"), (oracle, tmp_path / "b")):
        soma.MultiscaleImage.create(str(uri), type=kind, level_shape=(2, 5, 6)).close()
        facts.append((group_facts(str(uri)), array_facts(f"{uri}/level0")))
    assert facts[0] == facts[1]
    schema = facts[0][0][1]["soma_multiscale_image_schema"][1]
    assert schema["datatype"] == FORMATS[name]


@pytest.mark.parametrize("name", ["x", "xy", "cyx", "czyx"])
def test_schema_is_equal_with_upstreams_tiles_and_filters(tmp_path, oracle, name):
    case = CASES_BY_NAME[name]
    key, shape = case.first
    dims = {
        f"soma_dim_{i}": {
            "tile": UPSTREAM_EXTENTS.get(len(shape), 4),
            "filters": [{"_type": "ZstdFilter", "level": 3}],
        }
        for i in range(len(shape))
    }
    attrs = {"soma_data": {"filters": [{"_type": "ZstdFilter", "level": -1}]}}
    config = {"tiledb": {"create": {"dims": dims, "attrs": attrs}}}
    schemas = []
    for soma, options in ((napari_msimage, {"platform_config": config}), (oracle, {})):
        uri = str(tmp_path / f"image{len(schemas)}")
        soma.MultiscaleImage.create(
            uri,
            type=pa.from_numpy_dtype(case.dtype),
            level_shape=shape,
            level_key=key,
            coordinate_space=case.axis_names,
            has_channel_axis=case.has_channel,
            data_axis_order=case.order,
            **options,
        ).close()
        schemas.append(tiledb.ArraySchema.load(f"{uri}/{key}"))
    assert schemas[0] == schemas[1]


@pytest.mark.parametrize("name", ["cyx", "czyx"])
def test_same_platform_config_gives_the_same_schema(tmp_path, oracle, name):
    case = CASES_BY_NAME[name]
    key, shape = case.first
    dims = {f"soma_dim_{i}": {"tile": 5 + i} for i in range(len(shape))}
    attrs = {"soma_data": {"filters": ["ByteShuffleFilter", "LZ4Filter"]}}
    config = {"tiledb": {"create": {"dims": dims, "attrs": attrs}}}
    schemas = []
    for soma in (napari_msimage, oracle):
        uri = str(tmp_path / f"image{len(schemas)}")
        soma.MultiscaleImage.create(
            uri,
            type=pa.from_numpy_dtype(case.dtype),
            level_shape=shape,
            level_key=key,
            coordinate_space=case.axis_names,
            platform_config=config,
        ).close()
        schema = tiledb.ArraySchema.load(f"{uri}/{key}")
        filters = schema.attr(0).filters
        schemas.append(
            {
                "tiles": [int(schema.domain.dim(i).tile) for i in range(schema.ndim)],
                "filters": [type(filters[i]).__name__ for i in range(len(filters))],
            }
        )
    assert schemas[0] == schemas[1]


def test_image_folder_holds_what_upstreams_holds(pair):
    ours, upstream = pair(CASES_BY_NAME["cyx"])
    assert sorted(os.listdir(ours)) == sorted(os.listdir(upstream))
    parent = os.path.dirname(ours)
    assert sorted(os.listdir(parent)) == ["ours", "upstream"]


def test_no_metadata_of_our_own_after_a_long_life(pair):
    ours, upstream = pair(CASES_BY_NAME["cyx"])
    with napari_msimage.MultiscaleImage.open(ours, "w") as image:
        write(image.add_new_level("new", shape=(3, 2, 2)), np.zeros((3, 2, 2), "u1"))
        image.coordinate_space = image.coordinate_space
    with napari_msimage.MultiscaleImage.open(ours, "d") as image:
        del image["new"]
    assert group_facts(ours) == group_facts(upstream)
    assert not [name for name in os.listdir(ours) if "tmp" in name]


def test_units_are_changed_with_one_json_entry(pair):
    ours, _ = pair(CASES_BY_NAME["cyx"])
    axes = [napari_msimage.Axis("x", "µm"), napari_msimage.Axis("y")]
    with napari_msimage.MultiscaleImage.open(ours, "w") as image:
        image.coordinate_space = napari_msimage.CoordinateSpace(axes)
    with tiledb.Group(ours) as group:
        value, kind = group.meta.__getitem__("soma_coordinate_space", include_type=True)
    assert kind.name == "STRING_UTF8"
    assert value.isascii()
    assert json.loads(value) == [
        {"name": "x", "unit": "µm"},
        {"name": "y", "unit": None},
    ]


def test_json_is_read_whatever_its_spelling(pair):
    """Bytes instead of text, compact, with spaces, without units."""
    _, upstream = pair(CASES_BY_NAME["cyx"])
    with tiledb.Group(upstream, "w") as group:
        group.meta["soma_coordinate_space"] = b'[{"name":"x"},\n\t{"name" : "y"}]'
        group.meta["soma_level_level1"] = b"[3,18,26]"
        group.meta["soma_object_type"] = b"somamultiscaleimage"
        group.meta["soma_encoding_version"] = "1"
        group.meta["soma_spatial_encoding_version"] = "0.1.0"
    with napari_msimage.MultiscaleImage.open(upstream) as image:
        assert image.coordinate_space.axis_names == ("x", "y")
        assert image.level_shape("level1") == (3, 18, 26)


@pytest.mark.parametrize(
    ("name", "permutation"),
    [("cyx", [2, 1, 0]), ("yxc", [1, 0, 2]), ("xy", [0, 1]), ("xyzc", [0, 1, 2, 3])],
)
def test_schema_stores_the_axis_permutation(pair, name, permutation):
    metadata = group_facts(pair(CASES_BY_NAME[name])[0])[1]
    schema = metadata["soma_multiscale_image_schema"][1]
    assert schema["data_axis_permutation"] == permutation
