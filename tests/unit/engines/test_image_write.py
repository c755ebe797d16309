"""Writing arrays as an image: pixels, progress, all or nothing, bad input."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
import sys
import textwrap
from types import SimpleNamespace

import numpy as np
import pytest

from napari_msimage import samples
from napari_msimage.coordinates import Axis, CoordinateSpace
from napari_msimage.engines import _levels, _staging
from napari_msimage.engines._given_levels import check_given
from napari_msimage.engines._image_write import write_image
from napari_msimage.engines._progress import run
from napari_msimage.errors import (
    AccessError,
    AlreadyExistsError,
    ArgumentError,
    ArgumentTypeError,
    DoesNotExistError,
    StorageError,
)
from napari_msimage.storage import MultiscaleImage, SOMATileDBContext, staging_name


@pytest.fixture
def levels():
    """Three RGB levels, channels first, of odd and all different sizes."""
    picture = np.moveaxis(samples.tissue((97, 130)), -1, 0)
    return samples.pyramid(np.ascontiguousarray(picture), until=40)


def read_levels(uri, context=None):
    with MultiscaleImage.open(str(uri), context=context) as image:
        return [image[key].read() for key in image.levels()]


def listing(folder):
    return sorted(os.listdir(folder))


# What is written


def test_levels_are_written_as_given(tmp_path, levels):
    uri = str(tmp_path / "image.soma")
    run(write_image(uri, levels))
    with MultiscaleImage.open(uri) as image:
        assert list(image.keys()) == ["level0", "level1", "level2"]
        assert [image.level_shape(i) for i in range(3)] == [a.shape for a in levels]
        assert image.dtype == np.uint8
        assert image.data_axis_order == ("soma_channel", "y", "x")
        assert image.coordinate_space.axis_names == ("x", "y")
    for got, expected in zip(read_levels(uri), levels, strict=True):
        np.testing.assert_array_equal(got, expected)


def test_space_order_keys_and_metadata_are_kept(tmp_path):
    space = CoordinateSpace(
        (Axis("x", "micrometer"), Axis("y", "micrometer"), Axis("z"))
    )
    volume = samples.volume((2, 5, 41, 53))
    by_channel_last = [
        np.moveaxis(volume, 0, -1),
        np.moveaxis(volume, 0, -1)[:, ::2, ::2],
    ]
    uri = str(tmp_path / "volume.soma")
    run(
        write_image(
            uri,
            by_channel_last,
            coordinate_space=space,
            data_axis_order=("z", "y", "x", "soma_channel"),
            level_keys=["full", "half size"],
            metadata={"note": "µ"},
        )
    )
    with MultiscaleImage.open(uri) as image:
        assert image.coordinate_space == space
        assert image.data_axis_order == ("z", "y", "x", "soma_channel")
        assert list(image.levels()) == ["full", "half size"]
        assert image.metadata["note"] == "µ"
    for got, expected in zip(read_levels(uri), by_channel_last, strict=True):
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("dtype", ["int8", ">u2", "<i4", "uint64", ">f4", "float64"])
def test_dtypes_are_stored_in_native_byte_order(tmp_path, dtype):
    array = np.random.default_rng(1).uniform(0, 100, (29, 41)).astype(dtype)
    uri = str(tmp_path / "image.soma")
    run(write_image(uri, [array], has_channel_axis=False))
    (got,) = read_levels(uri)
    assert got.dtype == np.dtype(dtype).newbyteorder("=")
    np.testing.assert_array_equal(got, array)


def test_lazy_sources_are_asked_for_every_pixel_once(tmp_path, monkeypatch):
    monkeypatch.setattr("napari_msimage.engines._level_passes._BLOCK_BYTES", 2**18)
    array = np.random.default_rng(2).integers(0, 999, (2, 700, 1130), np.uint16)
    asked = np.zeros(array.shape, int)

    class Source:
        shape, dtype = array.shape, array.dtype

        def __getitem__(self, key):
            asked[key] += 1
            return array[key]

    uri = str(tmp_path / "image.soma")
    progress = list(write_image(uri, [Source()]))
    assert (asked == 1).all()
    assert len(progress) >= 2
    np.testing.assert_array_equal(read_levels(uri)[0], array)


def test_a_dask_array_and_a_level_of_another_image_can_be_written(tmp_path, levels):
    import dask.array as da

    first, second = str(tmp_path / "first.soma"), str(tmp_path / "second.soma")
    run(write_image(first, [da.from_array(a, chunks=40) for a in levels]))
    with MultiscaleImage.open(first) as image:
        run(write_image(second, [image.level_array(i) for i in range(3)]))
    for got, expected in zip(read_levels(second), levels, strict=True):
        np.testing.assert_array_equal(got, expected)


def test_progress_counts_bytes_from_zero_to_all(tmp_path, levels):
    progress = list(write_image(str(tmp_path / "image.soma"), levels))
    nbytes = sum(level.nbytes for level in levels)
    assert {p.total for p in progress} == {nbytes}
    done = [p.done for p in progress]
    assert done == sorted(done)
    assert (done[0], done[-1]) == (0, nbytes)
    assert set(np.cumsum([level.nbytes for level in levels]).tolist()) <= set(done)


def test_other_stores_are_written_in_place(levels):
    uri, context = "mem://image", SOMATileDBContext()
    run(write_image(uri, levels, context=context))
    for got, expected in zip(read_levels(uri, context), levels, strict=True):
        np.testing.assert_array_equal(got, expected)
    with pytest.raises(AlreadyExistsError, match="mem://image"):
        run(write_image(uri, levels, context=context))


# All or nothing


class BrokenSource:
    """Fails at its second box, as a file on a dead network drive would."""

    def __init__(self, array):
        self.array, self.shape, self.dtype = array, array.shape, array.dtype
        self.asked = 0

    def __getitem__(self, key):
        self.asked += 1
        if self.asked > 1:
            raise OSError("the source went away")
        return self.array[key]


def test_an_error_of_the_source_leaves_nothing(tmp_path, levels, monkeypatch):
    monkeypatch.setattr("napari_msimage.engines._level_passes._BLOCK_BYTES", 2**10)
    with pytest.raises(
        StorageError, match=r"'level0' could not be read .* the source went away"
    ):
        run(write_image(str(tmp_path / "image.soma"), [BrokenSource(levels[0])]))
    assert listing(tmp_path) == []


@pytest.mark.parametrize("steps", [2, 3, 4])
def test_closing_the_generator_leaves_nothing(tmp_path, levels, steps):
    engine = write_image(str(tmp_path / "image.soma"), levels)
    for _ in range(steps):
        next(engine)
    assert len(listing(tmp_path)) == 1
    engine.close()
    assert listing(tmp_path) == []


def test_the_image_is_not_at_its_place_before_it_is_complete(tmp_path, levels):
    uri = tmp_path / "image.soma"
    seen = [uri.exists() for _ in write_image(str(uri), levels)]
    assert not any(seen)
    assert listing(tmp_path) == ["image.soma"]


def test_what_is_there_already_stays(tmp_path, levels):
    uri = tmp_path / "image.soma"
    uri.mkdir()
    (uri / "notes.txt").write_text("mine")
    with pytest.raises(AlreadyExistsError, match=r"something at .*image\.soma"):
        run(write_image(str(uri), levels))
    assert listing(tmp_path) == ["image.soma"]
    assert (uri / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_appears_meanwhile_stays(tmp_path, levels, kind, monkeypatch):
    uri = tmp_path / "image.soma"

    def appear():
        if kind == "file":
            uri.write_text("mine")
        else:
            (uri / "mine").mkdir(parents=True)

    engine = write_image(str(uri), levels)
    next(engine)
    appear()
    with pytest.raises(AlreadyExistsError, match=r"something at .*image\.soma"):
        run(engine)
    assert listing(tmp_path) == ["image.soma"]
    assert uri.is_file() == (kind == "file")
    # and in the moment between the look and the renaming
    uri.unlink() if kind == "file" else shutil.rmtree(uri)
    rename = os.rename

    def late(source, destination):
        if destination == str(uri):
            appear()
        rename(source, destination)

    monkeypatch.setattr(_staging.os, "rename", late)
    with pytest.raises(AlreadyExistsError, match=r"something at .*image\.soma"):
        run(write_image(str(uri), levels))
    assert listing(tmp_path) == ["image.soma"]
    assert uri.is_file() == (kind == "file")


def test_too_little_space_is_said_before_anything_is_written(
    tmp_path, levels, monkeypatch
):
    usage = SimpleNamespace(free=2**15)
    monkeypatch.setattr(_staging.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(StorageError, match=r"Too little space.* 0\.1 MiB .* 0\.0 MiB"):
        run(write_image(str(tmp_path / "image.soma"), levels))
    assert listing(tmp_path) == []


def test_missing_parent_folder_is_named(tmp_path, levels):
    uri = tmp_path / "no such" / "image.soma"
    with pytest.raises(DoesNotExistError, match=r"folder .*no such' does not exist"):
        run(write_image(str(uri), levels))
    assert listing(tmp_path) == []


def test_a_store_that_lost_pixels_is_not_published(tmp_path, levels, monkeypatch):
    plan_passes = _levels.plan_passes

    def forget_last(request):
        (one,) = plan_passes(request)
        return (dataclasses.replace(one, jobs=one.jobs[:-1], n_streamed=1),)

    levels = [np.zeros((3, 4000, 4000), "u1")]
    monkeypatch.setattr(_levels, "plan_passes", forget_last)
    with pytest.raises(StorageError, match=r"level 'level0' .* is incomplete"):
        run(write_image(str(tmp_path / "image.soma"), levels))
    assert listing(tmp_path) == []


def test_leftovers_of_dead_writers_of_this_image_are_removed(tmp_path, levels):
    uri = tmp_path / "image.soma"
    script = f"""
        import os
        import numpy as np
        from napari_msimage.engines._image_write import write_image
        engine = write_image({str(uri)!r}, [np.zeros((3, 9, 8), "u1")])
        next(engine), next(engine)
        os._exit(9)
    """
    code = [sys.executable, "-c", textwrap.dedent(script)]
    assert subprocess.run(code, check=False).returncode == 9
    (leftover,) = listing(tmp_path)
    assert leftover.startswith("image.soma.__msimage_tmp_")

    other = tmp_path / leftover.replace("image.soma", "other.soma")
    other.mkdir()
    living = tmp_path / f"image.soma.{staging_name()}"
    living.mkdir()
    elsewhere = tmp_path / "image.soma.__msimage_tmp_0badcafe_77_ab"
    elsewhere.mkdir()
    ancient = tmp_path / "image.soma.__msimage_tmp_0badcafe_78_ab"
    ancient.mkdir()
    os.utime(ancient, (0, 0))
    run(write_image(str(uri), levels))
    assert listing(tmp_path) == sorted(
        ["image.soma", other.name, living.name, elsewhere.name]
    )


@pytest.mark.parametrize(
    ("system_error", "error"),
    [(PermissionError, AccessError), (OSError, StorageError)],
    ids=["forbidden", "other"],
)
def test_errors_of_the_system_say_where(
    tmp_path, levels, monkeypatch, system_error, error
):
    def refuse(source, destination, rename=os.rename):
        if destination == str(tmp_path / "image.soma"):
            raise system_error("the system says no")
        rename(source, destination)

    monkeypatch.setattr(_staging.os, "rename", refuse)
    with pytest.raises(error, match=r"image\.soma': the system says no"):
        run(write_image(str(tmp_path / "image.soma"), levels))
    assert listing(tmp_path) == []


# Bad input: said before anything is written


def zeros(*shapes, dtype="uint8"):
    return [np.zeros(shape, dtype) for shape in shapes]


@pytest.mark.parametrize(
    ("arrays", "options", "message"),
    [
        ([], {}, "No levels given"),
        (zeros((9, 8)), {}, r"'level0' has shape \(9, 8\); expected 3 sizes"),
        (zeros((3, 0, 8)), {}, r"'level0' has shape \(3, 0, 8\)"),
        (
            zeros((3, 9, 8), (3, 9, 8)),
            {},
            r"'level1' has shape \(3, 9, 8\), level 'level0' before it",
        ),
        (
            zeros((3, 9, 8), (3, 4, 9)),
            {},
            "smaller along one axis and larger along none",
        ),
        (zeros((3, 5, 4), (3, 9, 8)), {}, "from the finest to the coarsest"),
        (
            zeros((3, 9, 8), (2, 5, 4)),
            {},
            "'level1' has 2 channels; level 'level0' has 3",
        ),
        (
            zeros((9, 8, 3), (5, 4, 4)),
            {"data_axis_order": ("y", "x", "soma_channel")},
            "'level1' has 4 channels",
        ),
        (
            zeros((3, 9, 8)),
            {"data_axis_order": ("y", "x")},
            r"must name each of \('soma_channel', 'y', 'x'\) once, got \('y', 'x'\)",
        ),
        (
            zeros((3, 9, 8)),
            {"level_keys": ["a", "b"]},
            "Expected 1 different level keys",
        ),
        (
            zeros((3, 9, 8), (3, 5, 4)),
            {"level_keys": ["a", "a"]},
            "Expected 2 different level keys",
        ),
        (zeros((3, 9, 8)), {"level_keys": ["__group"]}, "'__group' as a level key"),
    ],
    ids=[
        "no levels",
        "axes missing",
        "empty",
        "same size",
        "wider",
        "wrong order",
        "channels",
        "channels last",
        "axis order",
        "too many keys",
        "key twice",
        "reserved key",
    ],
)
def test_bad_levels_are_explained(tmp_path, arrays, options, message):
    with pytest.raises(ArgumentError, match=message):
        run(write_image(str(tmp_path / "image.soma"), arrays, **options))
    assert listing(tmp_path) == []


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (zeros((3, 9, 8), dtype="float16"), r"Unsupported pixel type .*float16"),
        (zeros((3, 9, 8), dtype="bool"), r"Unsupported pixel type .*bool"),
        (zeros((3, 9, 8), dtype="complex64"), r"Unsupported pixel type .*complex64"),
        (zeros((3, 9, 8), dtype="datetime64[s]"), "convert them to int64"),
        (
            [*zeros((3, 9, 8)), *zeros((3, 5, 4), dtype="int16")],
            "'level1' has dtype int16, level 'level0' has uint8",
        ),
        ([[[1, 2], [3, 4]]], "'level0' must be an array; list has no shape, dtype"),
    ],
    ids=["half", "bool", "complex", "timestamp", "mixed", "list"],
)
def test_bad_pixel_types_are_explained(tmp_path, arrays, message):
    with pytest.raises(ArgumentTypeError, match=message):
        run(write_image(str(tmp_path / "image.soma"), arrays))
    assert listing(tmp_path) == []


def test_a_source_that_lies_about_its_shape_is_named(tmp_path):
    class Liar:
        shape, dtype = (3, 9, 8), np.dtype("u1")

        def __getitem__(self, key):
            return np.zeros((3, 9, 7), "u1")

    with pytest.raises(
        ArgumentError, match=r"'level0' gave pixels of shape \(3, 9, 7\)"
    ):
        run(write_image(str(tmp_path / "image.soma"), [Liar()]))
    assert listing(tmp_path) == []


class Retyped:
    """Says that its pixels are of another type than they are."""

    def __init__(self, pixels, dtype):
        self.pixels, self.shape, self.dtype = pixels, pixels.shape, np.dtype(dtype)

    def __getitem__(self, key):
        return self.pixels[key]


@pytest.mark.parametrize(
    ("pixels", "dtype"),
    [
        (np.full((3, 9, 8), 0.5), "u1"),
        (np.full((3, 9, 8), np.nan), "u2"),
        (np.full((3, 9, 8), 300), "u1"),
        (np.full((3, 9, 8), -1, "i1"), "u1"),
        (np.full((3, 9, 8), 1j), "f4"),
        (np.full((3, 9, 8), None), "f4"),
        (np.full((3, 9, 8), "x"), "u1"),
    ],
    ids=["fractions", "nan", "large", "negative", "complex", "objects", "text"],
)
def test_pixels_that_their_type_cannot_hold_are_refused(tmp_path, pixels, dtype):
    message = f"type {pixels.dtype} .* do not fit .* {np.dtype(dtype)}.*astype"
    with pytest.raises(ArgumentError, match=message):
        run(write_image(str(tmp_path / "image.soma"), [Retyped(pixels, dtype)]))
    assert listing(tmp_path) == []


@pytest.mark.parametrize(
    ("given", "dtype"), [("i8", "u1"), ("f8", "i2"), ("f8", "f4"), (">u2", "u2")]
)
def test_pixels_of_another_type_that_fit_are_converted(tmp_path, given, dtype):
    uri = str(tmp_path / "image.soma")
    pixels = np.arange(3 * 9 * 8).reshape(3, 9, 8).astype(given)
    run(write_image(uri, [Retyped(pixels, dtype)]))
    with MultiscaleImage.open(uri) as image:
        assert image.dtype == dtype
        np.testing.assert_array_equal(image["level0"].read(), pixels)


def test_the_plan_knows_size_and_names_without_pixels():
    plan = check_given([samples.TissueMosaic((2**20, 2**20), channels_first=True)])
    assert plan.shapes == ((3, 2**20, 2**20),)
    assert plan.keys == ("level0",)
    assert plan.data_axis_order == ("soma_channel", "y", "x")
