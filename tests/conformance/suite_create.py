"""Creating, opening and finding images."""

from __future__ import annotations

import datetime
import os

import numpy as np
import pyarrow as pa
import pytest

from .cases import CASES, CHANNEL, FORMATS, ImageCase
from .describe import space_facts
from .store_suite import StoreSuite

ARROW_TYPES = {
    **{name: pa.from_numpy_dtype(name) for name in FORMATS if "[" not in name},
    **{f"datetime64[{unit}]": pa.timestamp(unit) for unit in ("s", "ms", "us", "ns")},
}
REFUSED_TYPES = {
    "float16": pa.float16(),
    "string": pa.string(),
    "large_string": pa.large_string(),
    "binary": pa.binary(),
    "fixed_binary": pa.binary(4),
    "zoned_timestamp": pa.timestamp("s", "UTC"),
    "date32": pa.date32(),
    "time64": pa.time64("us"),
    "duration": pa.duration("s"),
    "null": pa.null(),
    "decimal": pa.decimal128(5, 2),
    "dictionary": pa.dictionary(pa.int8(), pa.string()),
    "list": pa.list_(pa.uint8()),
    "none": None,
}


class CreateSuite(StoreSuite):
    def test_created_image_is_open_for_writing(self):
        image = self.create()
        assert image.mode == "w"
        assert not image.closed
        assert image.verify_open_for_writing() is None

    def test_defaults_are_one_level_named_level0_on_x_and_y_with_channels(self):
        image = self.keep(
            self.soma.MultiscaleImage.create(
                self.uri, type=pa.uint8(), level_shape=(3, 10, 20)
            )
        )
        assert list(image) == ["level0"]
        assert image.level_shape(0) == (3, 10, 20)
        assert space_facts(image.coordinate_space) == [("x", None), ("y", None)]
        assert image.data_axis_order == (CHANNEL, "y", "x")
        assert image.has_channel_axis
        assert image.nchannels == 3
        assert image.level_count == 1
        assert image.soma_type == "SOMAMultiscaleImage"

    @pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
    def test_getters_answer_what_was_created(self, case: ImageCase):
        self.write_case(case)
        image = self.open()
        assert set(image.keys()) == set(case.levels)
        assert {key: shape for key, (_, shape) in image.levels().items()} == case.levels
        assert space_facts(image.coordinate_space) == list(case.axes)
        assert image.data_axis_order == case.data_axes
        assert image.has_channel_axis is case.has_channel
        channels = (
            image.level_shape(0)[case.data_axes.index(CHANNEL)]
            if (case.has_channel)
            else 1
        )
        assert image.nchannels == channels
        assert image.level_count == len(case.levels)

    @pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
    def test_pixels_come_back_as_written(self, case: ImageCase):
        self.write_case(case)
        image = self.open()
        for key in case.levels:
            np.testing.assert_array_equal(
                np.asarray(image[key].read()), case.pixels(key), strict=True
            )

    @pytest.mark.parametrize("name", ARROW_TYPES)
    def test_arrow_types_are_taken(self, name):
        self.create(type=ARROW_TYPES[name]).close()
        array = self.open()["level0"]
        assert self.numpy_type(array) == np.dtype(name)

    def numpy_type(self, array):
        kind = array.type
        return np.dtype(kind if self.is_ours else kind.to_pandas_dtype())

    @pytest.mark.parametrize("name", REFUSED_TYPES)
    def test_types_that_do_not_fit_are_refused(self, name):
        with self.unchanged(), self.raises(TypeError, match="type"):
            self.create(type=REFUSED_TYPES[name])

    def test_coordinate_space_may_be_names(self):
        image = self.create(coordinate_space=["a", "b"])
        assert space_facts(image.coordinate_space) == [("a", None), ("b", None)]
        assert image.data_axis_order == ("b", "a")

    def test_coordinate_space_may_be_one_text_of_letters(self):
        image = self.create(coordinate_space="xy")
        assert space_facts(image.coordinate_space) == [("x", None), ("y", None)]

    @pytest.mark.parametrize(
        ("shape", "has_channel"),
        [((10,), False), ((3, 10, 20), False), ((10, 20), True), ((), False)],
        ids=str,
    )
    def test_shape_that_does_not_fit_the_axes_is_refused(self, shape, has_channel):
        with self.unchanged(), self.raises(ValueError, match="shape"):
            self.create(level_shape=shape, has_channel_axis=has_channel)

    @pytest.mark.parametrize(
        "order",
        [("y", "z"), ("y",), ("y", "x", CHANNEL), ("y", "x", "z"), ()],
        ids=str,
    )
    def test_axis_order_of_other_axes_is_refused(self, order):
        with self.unchanged(), self.raises(ValueError, match="data_axis_order"):
            self.create(data_axis_order=order)

    @pytest.mark.parametrize("names", [("x", "x"), ("soma_x", "y")], ids=str)
    def test_axis_names_that_clash_are_refused(self, names):
        # Upstream raises ValueError or SOMAError, depending on how they are given.
        with (
            self.unchanged(),
            self.raises((self.soma.SOMAError, ValueError), match="ax"),
        ):
            self.create(coordinate_space=names)

    def test_existing_image_is_not_overwritten(self):
        self.create().close()
        kind = self.soma.AlreadyExistsError
        with self.unchanged(), self.raises(kind, match="already"):
            self.create()

    def test_uri_is_what_was_passed_in(self):
        with self.create() as image:
            assert image.uri == self.uri
        assert self.open(uri=self.uri + "/").uri == self.uri + "/"

    def test_exists_says_yes_for_an_image_only(self):
        exists = self.soma.MultiscaleImage.exists
        assert not exists(self.uri)
        self.create().close()
        assert exists(self.uri)
        assert not exists(f"{self.uri}/level0")
        assert not exists(f"{self.uri}/nothing")

    def test_level_key_and_uri_can_be_chosen(self):
        image = self.create(level_key="top", level_uri="folder")
        image.close()
        image = self.open()
        assert list(image) == ["top"]
        assert image.level_uri("top").endswith("/pyramid.soma/folder")

    @pytest.mark.parametrize("uri", [None, 3], ids=repr)
    def test_uri_must_be_text(self, uri):
        for call in (self.soma.MultiscaleImage.exists, self.soma.MultiscaleImage.open):
            with self.raises(TypeError, match="uri"):
                call(uri)

    @pytest.mark.parametrize("mode", ["rw", "", "a", "R"])
    def test_unknown_mode_is_refused(self, mode):
        self.create().close()
        with self.raises(ValueError, match="mode"):
            self.open(mode)

    def test_missing_image_does_not_exist(self):
        with self.raises(self.soma.DoesNotExistError, match="nothing"):
            self.open()

    def test_array_is_not_an_image(self):
        self.soma.DenseNDArray.create(self.uri, type=pa.uint8(), shape=(3,)).close()
        with self.raises("SOMAError", match="array|Array"):
            self.open()

    def test_an_image_is_not_an_array(self):
        self.create().close()
        with self.raises("SOMAError", match="group"):
            self.soma.DenseNDArray.open(self.uri)

    def test_direct_construction_is_refused(self):
        with self.raises(TypeError, match=r"open|create"):
            self.soma.MultiscaleImage()

    @pytest.mark.parametrize("case", ["aware", "ms"])
    def test_timestamp_is_kept(self, case):
        moment = datetime.datetime(2023, 11, 14, 22, 13, 20, tzinfo=datetime.UTC)
        stamp = moment if case == "aware" else 1_700_000_000_000
        image = self.create(tiledb_timestamp=stamp)
        assert image.tiledb_timestamp == moment
        assert image.tiledb_timestamp_ms == 1_700_000_000_000

    @pytest.mark.parametrize(
        ("stamp", "kind"),
        [(-1, ValueError), (2**64, ValueError), ("now", TypeError), (1.5, TypeError)],
        ids=repr,
    )
    def test_timestamps_that_are_none_are_refused(self, stamp, kind):
        with self.unchanged(), self.raises(kind, match="timestamp"):
            self.create(tiledb_timestamp=stamp)

    def test_image_is_a_context_manager(self):
        with self.create() as image:
            assert not image.closed
        assert image.closed

    def test_closing_twice_is_fine(self):
        image = self.create()
        image.close()
        image.close()
        assert image.closed

    def test_repr_says_where_and_in_which_mode(self):
        image = self.create()
        assert self.uri in repr(image)
        assert "open" in repr(image)
        image.close()
        assert "CLOSED" in repr(image).upper()


class LocalFolderSuite(StoreSuite):
    """What only makes sense in a file system."""

    def test_missing_parent_folders_are_made(self):
        uri = self.sibling("a/b/c")
        self.create(uri).close()
        assert self.soma.MultiscaleImage.exists(uri)

    def test_existing_plain_folder_is_used(self):
        os.makedirs(self.uri)
        self.create().close()
        assert self.soma.MultiscaleImage.exists(self.uri)

    @pytest.mark.parametrize("spelling", ["file", "slash", "relative", "dots"])
    def test_spellings_of_the_address(self, spelling, monkeypatch):
        self.create().close()
        folder = os.path.dirname(self.uri)
        uri = {
            "file": f"file://{self.uri}",
            "slash": f"{self.uri}/",
            "relative": os.path.relpath(self.uri),
            "dots": f"{folder}/../{os.path.basename(folder)}/pyramid.soma",
        }[spelling]
        image = self.open(uri=uri)
        assert image.level_shape(0) == (10, 20)
        assert image["level0"].shape == (10, 20)
