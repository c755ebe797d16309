"""Tile extents and filters: our choices, and all forms of platform_config."""

from __future__ import annotations

import sys
import types

import numpy as np
import pytest
import tiledb

from napari_msimage import DenseNDArray, MultiscaleImage
from napari_msimage.errors import ArgumentError, ArgumentTypeError
from napari_msimage.storage import describe_layout
from napari_msimage.storage._layout import plan_layout

SHAPE = (3, 97, 130)


def names(filters):
    return [type(one).__name__ for one in filters]


@pytest.mark.parametrize(
    ("shape", "channel", "expected"),
    [
        ((3, 5000, 6000), 0, (1, 512, 512)),
        ((5000, 6000, 3), 2, (512, 512, 3)),
        ((5000, 6000, 5), 2, (512, 512, 1)),
        ((97, 130), None, (97, 130)),
        ((2, 40, 5000, 6000), 0, (1, 1, 512, 512)),
        ((2, 40, 128, 130), 0, (1, 15, 128, 130)),
        ((2, 40, 30, 20), 0, (1, 16, 30, 20)),
        ((10**6,), None, (512 * 512,)),
        ((4, 10**6), 0, (1, 512 * 512)),
        ((1, 1), None, (1, 1)),
    ],
    ids=str,
)
def test_tiles_hold_one_channel_and_a_plane_first(shape, channel, expected):
    assert plan_layout(shape, np.dtype("uint8"), channel).tile_extents == expected


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        ("uint8", ["LZ4Filter"]),
        ("uint16", ["BitShuffleFilter", "LZ4Filter"]),
        ("float64", ["BitShuffleFilter", "LZ4Filter"]),
    ],
)
def test_filters_follow_the_width(dtype, expected):
    assert names(plan_layout(SHAPE, np.dtype(dtype), 0).filters) == expected


# Extents asked for


def test_extents_asked_for_replace_the_default_and_yield_to_platform_config():
    config = {"dims": {"soma_dim_1": {"tile": 64}}}
    dtype = np.dtype("uint8")
    assert plan_layout(SHAPE, dtype, 0, None, (3, 50, 60)).tile_extents == (3, 50, 60)
    layout = plan_layout(SHAPE, dtype, 0, config, [3, 50, np.int32(60)])
    assert layout.tile_extents == (3, 64, 60)


@pytest.mark.parametrize(
    ("extents", "error", "message"),
    [
        ((1, 50), ArgumentError, r"\(1, 50\) has 2 entries; expected one for each"),
        ((1, 0, 50), ArgumentError, "extent of axis 1 must be an int of 1 or more"),
        ((1, 2.5, 50), ArgumentError, "extent of axis 1"),
        ((1, True, 50), ArgumentError, "extent of axis 1"),
        (64, ArgumentTypeError, "must be a sequence of ints, got 64"),
        ("111", ArgumentTypeError, "must be a sequence of ints, got '111'"),
        ((1, 2**14, 2**14), ArgumentError, "tiles of 256 MiB; at most 64 MiB"),
    ],
)
def test_extents_that_make_no_sense(extents, error, message):
    with pytest.raises(error, match=message):
        plan_layout(SHAPE, np.dtype("uint8"), 0, None, extents)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize(
    "config", [None, {"attrs": {"soma_data": {"filters": ["GzipFilter"]}}}], ids=str
)
def test_description_is_what_an_array_made_so_says(tmp_uri, dtype, config):
    extents, filters = describe_layout(SHAPE, np.dtype(dtype), None, config)
    with DenseNDArray.create(
        tmp_uri, type=dtype, shape=SHAPE, platform_config=config
    ) as array:
        assert array.schema.tile_extents == extents
        assert array.schema.filters == filters


# platform_config

CREATE = {
    "dims": {"soma_dim_1": {"tile": 64}, "soma_dim_2": {"filters": ["GzipFilter"]}},
    "attrs": {"soma_data": {"filters": [{"_type": "ZstdFilter", "level": 9}]}},
    "capacity": 77,
    "unknown_to_us": 5,
}


class Column:
    def __init__(self, filters=None, tile=None):
        self.filters, self.tile = filters, tile


def as_objects(create):
    columns = {
        group: {name: Column(**config) for name, config in create[group].items()}
        for group in ("dims", "attrs")
    }
    return types.SimpleNamespace(**columns, capacity=77)


FORMS = {
    "whole": {"tiledb": {"create": CREATE}},
    "without tiledb": {"create": CREATE},
    "inner": CREATE,
    "objects": as_objects(CREATE),
    "object inside": {"tiledb": {"create": as_objects(CREATE)}},
}


@pytest.mark.parametrize("form", FORMS)
def test_all_forms_of_platform_config_say_the_same(form):
    layout = plan_layout(SHAPE, np.dtype("uint8"), 0, FORMS[form])
    assert layout.tile_extents == (1, 64, 130)
    assert names(layout.filters) == ["ZstdFilter"]
    assert layout.filters[0].level == 9
    assert [names(one) for one in layout.dim_filters] == [
        ["ZstdFilter"],
        ["ZstdFilter"],
        ["GzipFilter"],
    ]
    assert layout.capacity == 77


def test_options_object_of_tiledbsoma_is_taken(tmp_path):
    # its library cannot be loaded beside TileDB-Py's, but its options module can
    attrs = pytest.importorskip("attrs")
    column = attrs.make_class("_ColumnConfig", ["filters", "tile"], frozen=True)
    options = attrs.make_class("TileDBCreateOptions", ["dims", "attrs", "capacity"])(
        dims={"soma_dim_0": column(None, 5)},
        attrs={"soma_data": column(({"_type": "ZstdFilter"},), None)},
        capacity=100_000,
    )
    with DenseNDArray.create(
        str(tmp_path / "a"), type="uint8", shape=(9, 11), platform_config=options
    ) as array:
        assert array.schema.tile_extents == (5, 11)
        assert array.schema.filters == ("ZstdFilter",)
    assert "tiledbsoma" not in sys.modules


@pytest.mark.parametrize("config", [None, {}, {"tiledb": {}}, {"tiledb": {"read": 1}}])
def test_empty_platform_config_changes_nothing(config):
    plain = plan_layout(SHAPE, np.dtype("uint8"), 0)
    layout = plan_layout(SHAPE, np.dtype("uint8"), 0, config)
    assert layout.tile_extents == plain.tile_extents
    assert names(layout.filters) == names(plain.filters)


def test_filters_of_tiledb_are_taken_as_they_are():
    listed = tiledb.FilterList([tiledb.ZstdFilter(2)])
    for filters in (listed, [tiledb.ZstdFilter(2)]):
        config = {"attrs": {"soma_data": {"filters": filters}}}
        layout = plan_layout(SHAPE, np.dtype("uint8"), 0, config)
        assert layout.filters[0].level == 2


def test_no_filters_means_none():
    config = {"attrs": {"soma_data": {"filters": []}}}
    assert names(plan_layout(SHAPE, np.dtype("uint8"), 0, config).filters) == []


def dim(**config):
    return {"dims": {"soma_dim_0": config}}


def pixels(filters):
    return {"attrs": {"soma_data": {"filters": filters}}}


WRONG = {
    "tile_zero": (dim(tile=0), "soma_dim_0"),
    "tile_text": (dim(tile="5"), "soma_dim_0"),
    "tile_bool": (dim(tile=True), "soma_dim_0"),
    "tile_huge": (dim(tile=2**62), "64 MiB"),
    "product_over_int64": (
        {"dims": {f"soma_dim_{i}": {"tile": 2**32} for i in range(2)}},
        "64 MiB",
    ),
    "dims_number": ({"dims": 5}, "dims"),
    "attrs_list": ({"attrs": []}, "attrs"),
    "filters_number": (pixels(5), "filters"),
    "filters_text": (pixels("ZstdFilter"), "filters"),
    "filter_unknown": (pixels(["NoSuchFilter"]), "NoSuchFilter"),
    "filter_not_a_filter": (pixels(["Ctx"]), "Ctx"),
    "filter_none": (pixels([None]), "None"),
    "filter_option": (pixels([{"_type": "ZstdFilter", "bogus": 1}]), "bogus"),
    "filter_level": (pixels([{"_type": "ZstdFilter", "level": "x"}]), "level"),
    "filter_without_type": (pixels([{"level": 3}]), "_type"),
    "capacity_text": ({"capacity": "x"}, "capacity"),
    "capacity_zero": ({"capacity": 0}, "capacity"),
    "no_mapping": (5, "mapping"),
    "create_text": ({"tiledb": {"create": "x"}}, "mapping"),
}


@pytest.mark.parametrize("name", WRONG)
def test_settings_that_make_no_sense_are_refused(name):
    config, match = WRONG[name]
    with pytest.raises((ArgumentError, ArgumentTypeError), match=match):
        plan_layout(SHAPE, np.dtype("uint8"), 0, config)


def test_filter_that_tiledb_refuses_leaves_nothing(tmp_path):
    with pytest.raises(OSError, match="create the array"):
        MultiscaleImage.create(
            str(tmp_path / "x" / "a.soma"),
            type="uint8",
            level_shape=SHAPE,
            platform_config=pixels(["WebpFilter"]),
        )
    assert list(tmp_path.iterdir()) == []
