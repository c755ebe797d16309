"""DenseNDArray reads and writes against the live oracle, over many coordinates."""

from __future__ import annotations

import itertools

import numpy as np
import pyarrow as pa
import pytest

import napari_msimage

from .cases import random_pixels
from .oracle import UpstreamError
from .store_suite import full, write

SHAPE = (4, 7)
ENDS = [None, -1, 0, 2, 3, 6, 9]
COORDS = [
    None,
    *range(-1, 8),
    True,
    *(slice(a, b) for a, b in itertools.product(ENDS, ENDS)),
    slice(0, 3, 1),
    slice(0, 3, 2),
    1.0,
    "a",
]


@pytest.fixture(scope="module")
def uri(tmp_path_factory):
    uri = str(tmp_path_factory.mktemp("arrays") / "array")
    with napari_msimage.DenseNDArray.create(uri, type="int16", shape=SHAPE) as array:
        write(array, random_pixels(SHAPE, "int16"))
    return uri


def outcome(array, coords, **options):
    try:
        return np.asarray(array.read(coords, **options))
    except (UpstreamError, napari_msimage.SOMAError) as error:
        for kind in (TypeError, ValueError):
            if isinstance(error, kind):
                return kind.__name__
        return "SOMAError"


def assert_equal_outcomes(mine, theirs, where):
    if isinstance(mine, str) or isinstance(theirs, str):
        assert isinstance(mine, str), where
        assert isinstance(theirs, str), where
        # a plain SOMAError says nothing of its kind
        assert theirs in (mine, "SOMAError"), where
    else:
        np.testing.assert_array_equal(mine, theirs, err_msg=str(where), strict=True)


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("order", ["row-major", "column-major"])
def test_reads_are_equal(uri, oracle, axis, order):
    with (
        napari_msimage.DenseNDArray.open(uri) as ours,
        oracle.DenseNDArray.open(uri) as upstream,
    ):
        for coord in COORDS:
            coords = (coord,) if axis == 0 else (slice(1, 2), coord)
            assert_equal_outcomes(
                outcome(ours, coords, result_order=order),
                outcome(upstream, coords, result_order=order),
                (coords, order),
            )


@pytest.mark.parametrize("coords", [(), [], None, (0,) * 3, 3, "ab"], ids=repr)
def test_forms_of_coordinates_are_equal(uri, oracle, coords):
    with (
        napari_msimage.DenseNDArray.open(uri) as ours,
        oracle.DenseNDArray.open(uri) as upstream,
    ):
        try:
            theirs = outcome(upstream, coords)
        except Exception:  # noqa: BLE001 - the oracle's errors are not all its own
            theirs = "TypeError"
        assert_equal_outcomes(outcome(ours, coords), theirs, coords)


@pytest.mark.parametrize(
    "coords",
    [
        (),
        (slice(None),),
        (slice(1, 2), slice(3, 5)),
        (2, slice(None)),
        (slice(2, 99), slice(None, 4)),
        (slice(0, 0), 6),
    ],
    ids=str,
)
def test_writes_have_the_same_effect(tmp_path, oracle, coords):
    found = []
    for soma in (napari_msimage, oracle):
        uri = str(tmp_path / f"array{len(found)}")
        with soma.DenseNDArray.create(uri, type=pa.uint8(), shape=SHAPE) as array:
            with napari_msimage.DenseNDArray.open(uri) as reader:
                block = reader.read(coords).shape
            array.write(coords, random_pixels(block, "uint8"))
        with soma.DenseNDArray.open(uri) as array:
            found.append((np.asarray(array.read()), array.non_empty_domain()))
    np.testing.assert_array_equal(found[0][0], found[1][0])
    assert found[0][1] == found[1][1]


@pytest.mark.parametrize("writer", ["ours", "upstream"])
def test_arrays_by_themselves_are_equal(tmp_path, oracle, writer):
    libraries = {"ours": napari_msimage, "upstream": oracle}
    uri = str(tmp_path / "array")
    with libraries[writer].DenseNDArray.create(
        uri, type=pa.float32(), shape=(2, 3, 5, 7)
    ) as array:
        array.write(full(4), random_pixels((2, 3, 5, 7), "float32"))
        array.metadata["note"] = "text"
    seen = []
    for soma in libraries.values():
        with soma.DenseNDArray.open(uri) as array:
            seen.append(
                (
                    array.shape,
                    array.ndim,
                    array.maxshape[0] > 2**62,
                    array.metadata["note"],
                    np.asarray(array.read()).tobytes(),
                )
            )
        assert soma.DenseNDArray.exists(uri)
        assert not soma.MultiscaleImage.exists(uri)
    assert seen[0] == seen[1]


def test_sizes_after_resizing_are_equal(tmp_path, oracle):
    shapes = [(4, 9), (5, 7), (3, 7), (4, 6), (4,), (4, 7, 1)]
    for number, shape in enumerate(shapes):
        results = []
        for soma in (napari_msimage, oracle):
            uri = str(tmp_path / f"{number}{len(results)}")
            soma.DenseNDArray.create(uri, type=pa.uint8(), shape=SHAPE).close()
            with soma.DenseNDArray.open(uri, "w") as array:
                try:
                    done = array.resize(shape)[0]
                except (UpstreamError, napari_msimage.SOMAError):
                    done = False
            with soma.DenseNDArray.open(uri) as array:
                results.append((done, array.shape))
        assert results[0] == results[1], shape
