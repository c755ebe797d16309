"""Creating images: what this package does better than upstream."""

from __future__ import annotations

import datetime
import json
import os
import warnings

import numpy as np
import pyarrow as pa
import pytest

import napari_msimage

from .cases import CHANNEL, FORMATS
from .describe import space_facts
from .store_suite import StoreSuite, write

REFUSED_KEYS = {
    "empty": "",
    "dot": ".",
    "dots": "..",
    "tiledb": "__group",
    "underscores": "__",
    "nul": "a\0b",
    "101_bytes": "k" * 101,
    "102_bytes_of_utf8": "é" * 51,
    "lone_surrogate": "a\ud800",
}
#: Arguments that cannot work, each with a word of the message.
REFUSED = {
    "zero_size": ({"level_shape": (10, 0)}, "shape"),
    "negative_size": ({"level_shape": (-10, 20)}, "shape"),
    "huge_size": ({"level_shape": (10, 2**60)}, "shape"),
    "huge_product": ({"level_shape": (2**30, 2**30)}, "shape"),
    "nan_size": ({"level_shape": (10, float("nan"))}, "shape"),
    "nested_shape": ({"level_shape": ((10, 20), 20)}, "shape"),
    "text_shape": ({"level_shape": "ab"}, "shape"),
    "no_shape": ({"level_shape": None}, "shape"),
    "bool_type": ({"type": pa.bool_()}, "type"),
    "numpy_bool_type": ({"type": np.bool_}, "type"),
    "complex_type": ({"type": np.complex64}, "type"),
    "object_type": ({"type": object}, "type"),
    "arrow_bool_format": ({"type": "b"}, "type"),
    "arrow_text_format": ({"type": "u"}, "type"),
    "unknown_type": ({"type": "uint9"}, "type"),
    "big_endian_float16": ({"type": ">f2"}, "type"),
    "axis_twice": ({"data_axis_order": ("y", "x", "x")}, "data_axis_order"),
    "axes_twice_in_space": ({"coordinate_space": ("x", "x")}, "ax"),
    "reserved_axis": ({"coordinate_space": ("x", "soma_y")}, "ax"),
    "no_axes": ({"coordinate_space": ()}, "ax"),
    "unknown_context": ({"context": {"vfs": 1}}, "context"),
    "zero_tile": (
        {
            "platform_config": {
                "tiledb": {"create": {"dims": {"soma_dim_0": {"tile": 0}}}}
            }
        },
        "tile",
    ),
    **{
        f"key_{name}": ({"level_key": key}, "level key")
        for name, key in REFUSED_KEYS.items()
    },
    "key_of_bytes": ({"level_key": b"level0"}, "level key"),
    "no_key": ({"level_key": None}, "level key"),
}


class ImprovedCreateSuite(StoreSuite):
    @pytest.mark.parametrize("name", REFUSED)
    def test_everything_is_checked_before_anything_is_written(self, name):
        options, match = REFUSED[name]
        with self.unchanged(), self.raises("SOMAError", match=match):
            self.create(**options)
        assert not napari_msimage.MultiscaleImage.exists(self.uri)
        self.create().close()  # the place is still free

    def test_kinds_of_errors_are_builtin_ones_too(self):
        for options, kind in (
            ({"level_shape": (10, 0)}, ValueError),
            ({"level_shape": (10, -1)}, ValueError),
            ({"type": pa.bool_()}, TypeError),
            ({"data_axis_order": ("y", "x", "x")}, ValueError),
            ({"level_key": ""}, ValueError),
            ({"level_key": 3}, TypeError),
        ):
            with self.raises(kind, match="shape|type|order|key"):
                self.create(**options)

    def test_existing_array_is_not_overwritten(self):
        napari_msimage.DenseNDArray.create(self.uri, type="uint8", shape=(3,)).close()
        kind = napari_msimage.AlreadyExistsError
        with self.unchanged(), self.raises(kind, match="array"):
            self.create()

    def test_numpy_integers_are_sizes(self):
        shape = np.array([10, 20], np.uint16)
        with self.create(level_shape=shape) as image:
            image.add_new_level("level1", shape=(np.int64(5), np.int8(10)))
        image = self.open()
        assert image.level_shape(0) == (10, 20)
        assert json.loads(image.metadata["soma_level_level0"]) == [10, 20]
        assert all(type(size) is int for size in image.level_shape(1))

    @pytest.mark.parametrize("name", FORMATS)
    @pytest.mark.parametrize("form", ["dtype", "class", "format", "name"])
    def test_types_may_be_numpy_types_and_format_strings(self, name, form):
        dtype = np.dtype(name)
        given = {"dtype": dtype, "format": FORMATS[name], "name": name}
        given["class"] = (
            dtype.type if dtype.kind != "M" else dtype
        )  # no unit in a class
        self.create_of_type(given[form], dtype)

    def create_of_type(self, given, dtype):
        self.create(type=given).close()
        image = self.open()
        schema = json.loads(image.metadata["soma_multiscale_image_schema"])
        assert schema["datatype"] == FORMATS[dtype.name]
        assert image["level0"].dtype == dtype
        assert image.dtype == dtype

    def test_other_byte_order_means_the_native_type(self):
        with self.create(type=">u2") as image:
            write(image["level0"], np.arange(200, dtype=">u2").reshape(10, 20))
        array = self.open()["level0"].read()
        assert array.dtype == np.dtype("uint16")
        np.testing.assert_array_equal(array.ravel(), np.arange(200))

    def test_nothing_is_called_experimental(self):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            self.create().close()
            self.open().close()

    def test_naive_datetime_is_local_time(self):
        naive = datetime.datetime(2023, 11, 14, 22, 13, 20)
        image = self.create(tiledb_timestamp=naive)
        assert image.tiledb_timestamp == naive.astimezone()

    def test_result_has_no_room_for_new_attributes(self):
        with pytest.raises(AttributeError, match="colour"):
            self.create().colour = 3

    def test_context_is_kept_and_shared_with_the_levels(self):
        context = napari_msimage.SOMATileDBContext({"sm.io_concurrency_level": 1})
        image = self.create(context=context)
        assert image.context == context
        assert image["level0"].context == context

    def test_platform_config_sets_tiles_and_filters(self):
        config = {
            "tiledb": {
                "create": {
                    "dims": {"soma_dim_0": {"tile": 3}, "soma_dim_1": {"tile": 7}},
                    "attrs": {"soma_data": {"filters": ["GzipFilter"]}},
                }
            }
        }
        image = self.create(platform_config=config)
        schema = image["level0"].schema
        assert schema.tile_extents == (3, 7)
        assert schema.filters == ("GzipFilter",)
        added = image.add_new_level("level1", shape=(5, 10)).schema
        assert added.tile_extents != (3, 7)  # as upstream: for the first level only

    def test_units_may_be_given_at_creation(self):
        image = self.create(coordinate_space=self.space(("x", "µm"), ("y", "mm")))
        image.close()
        assert space_facts(self.open().coordinate_space) == [("x", "µm"), ("y", "mm")]

    def test_five_axes_with_channel_first_by_default(self):
        image = self.create(
            level_shape=(2, 3, 4, 5, 6),
            coordinate_space=("x", "y", "z", "t"),
            has_channel_axis=True,
        )
        assert image.data_axis_order == (CHANNEL, "t", "z", "y", "x")


class ImprovedFolderSuite(StoreSuite):
    """What only makes sense in a file system."""

    @pytest.fixture
    def outside(self, _store):
        """An array next to the image, uint8 (10, 20)."""
        uri = self.sibling("outside")
        pixels = np.arange(200, dtype=np.uint8).reshape(10, 20)
        with napari_msimage.DenseNDArray.create(
            uri, type="uint8", shape=(10, 20)
        ) as array:
            write(array, pixels)
        return uri, pixels

    def test_level_uri_of_an_existing_array_uses_it(self, outside):
        uri, pixels = outside
        self.create(level_uri=uri).close()
        image = self.open()
        np.testing.assert_array_equal(image["level0"].read(), pixels)
        assert image.level_uri(0).endswith(uri)

    def test_relative_level_uri_of_an_existing_array_uses_it(self, outside):
        _, pixels = outside
        self.create(level_uri="../outside").close()
        np.testing.assert_array_equal(self.open()["level0"].read(), pixels)

    @pytest.mark.parametrize(
        "options",
        [{"level_shape": (10, 21)}, {"type": "int8"}, {"type": "uint16"}],
        ids=str,
    )
    def test_level_uri_of_an_array_that_does_not_fit_is_refused(self, outside, options):
        with self.unchanged(), self.raises("SOMAError", match="outside"):
            self.create(level_uri=outside[0], **options)

    def test_folder_with_files_is_not_filled(self):
        os.makedirs(self.uri)
        with open(f"{self.uri}/notes.txt", "w") as file:
            file.write("mine")
        # Upstream writes its group into any folder; so may we, but notes stay.
        self.create().close()
        with open(f"{self.uri}/notes.txt") as file:
            assert file.read() == "mine"

    def test_plain_file_is_not_overwritten(self):
        os.makedirs(os.path.dirname(self.uri))
        with open(self.uri, "w") as file:
            file.write("mine")
        with self.unchanged(), self.raises("SOMAError", match="file|exist"):
            self.create()

    def test_home_folder_and_escaped_addresses_are_understood(self, monkeypatch):
        monkeypatch.setenv("HOME", os.path.dirname(self.uri))
        self.create(self.sibling("my image")).close()
        folder = os.path.dirname(self.uri)
        for uri in ("~/my image", f"file://{folder}/my%20image"):
            assert self.open(uri=uri).level_shape(0) == (10, 20)

    def test_relative_address_survives_a_change_of_folder(self, monkeypatch, tmp_path):
        self.create().close()
        monkeypatch.chdir(os.path.dirname(self.uri))
        image = self.open(uri="pyramid.soma")
        monkeypatch.chdir(tmp_path)
        assert image["level0"].read().shape == (10, 20)

    def test_moved_image_opens_with_its_levels(self, outside):
        self.write_levels(("level0", outside[1]), ("level1", outside[1][::2]))
        moved = self.sibling("moved")
        os.rename(self.uri, moved)
        image = self.open(uri=moved)
        np.testing.assert_array_equal(image["level0"].read(), outside[1])
        assert image.level_uri(0).startswith(f"file://{moved}/")

    def test_names_starting_with_dots_stay_inside_the_image(self):
        self.create(level_key="../x").close()
        assert os.listdir(os.path.dirname(self.uri)) == ["pyramid.soma"]
        image = self.open()
        assert image.level_shape("../x") == (10, 20)
