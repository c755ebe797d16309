"""A level that keeps napari alive when reads fail."""

from __future__ import annotations

import types

import numpy as np
import pytest

from napari_msimage.errors import StorageError
from napari_msimage.plugin._level_view import LevelView, ReadFailures


class FailingLevel:
    """Cells that can be switched off."""

    shape = (9, 13)
    dtype = np.dtype("uint16")
    chunks = ((5, 4), (13,))

    def __init__(self):
        self.fails = False
        self.n_reads = 0

    def __getitem__(self, key):
        return self

    def __array__(self, dtype=None, copy=None):
        self.n_reads += 1
        if self.fails:
            raise StorageError("Cannot read the level.")
        return np.full(self.shape, 7, dtype or self.dtype)


class Setting:
    """A failing level with its view, what was told, and the time."""

    def __init__(self):
        self.now = 100.0
        self.told = []
        self.level = FailingLevel()
        failures = ReadFailures("liver", self.told.append, lambda: self.now)
        self.view = LevelView(self.level, failures)


@pytest.fixture
def setting():
    return Setting()


def display(view):
    """Read as napari's slicing does: from a module of napari's."""
    module = types.ModuleType("napari.layers._fake")
    exec("def read(view, asarray): return asarray(view)", module.__dict__)
    return module.read(view, np.asarray)


def test_facts_are_those_of_the_level(setting):
    view = setting.view
    assert (view.shape, view.dtype, view.ndim) == ((9, 13), np.dtype("uint16"), 2)
    assert (view.size, view.nbytes, len(view)) == (117, 234, 9)
    assert view.chunks == ((5, 4), (13,))


def test_arrays_without_chunks_have_none():
    view = LevelView(np.zeros((2, 3)), ReadFailures("u", print))
    assert view.chunks is None


def test_indexing_composes():
    cells = np.arange(20).reshape(4, 5)
    view = LevelView(cells, ReadFailures("u", print))[1:3, ::-1]
    assert isinstance(view, LevelView)
    np.testing.assert_array_equal(np.asarray(view), cells[1:3, ::-1])


def test_indexing_reads_nothing(setting):
    assert setting.view[2:4] is not None
    assert setting.level.n_reads == 0


def test_dtype_of_the_conversion_is_kept(setting):
    assert np.asarray(setting.view, dtype="float32").dtype == np.float32


def test_failure_for_display_gives_zeros_and_one_notice(setting):
    setting.level.fails = True
    for _ in range(5):
        shown = display(setting.view)
        setting.now += 100
    assert shown.shape == (9, 13)
    assert not shown.any()
    assert len(setting.told) == 1
    assert "'liver'" in setting.told[0]


def test_failure_for_anybody_else_raises(setting):
    setting.level.fails = True
    with pytest.raises(StorageError, match="Cannot read the level"):
        np.asarray(setting.view)
    with pytest.raises(StorageError, match="Cannot read the level"):
        np.mean(setting.view)
    assert setting.told == []


def test_a_failing_store_is_left_alone_for_a_while(setting):
    setting.level.fails = True
    for _ in range(50):
        display(setting.view)
    assert setting.level.n_reads == 1
    setting.now += 2.1
    display(setting.view)
    assert setting.level.n_reads == 2
    setting.now += 2.1
    display(setting.view)
    assert setting.level.n_reads == 2


def test_a_store_that_is_back_is_shown_again_and_its_next_failure_told(setting):
    setting.level.fails = True
    display(setting.view)
    setting.level.fails = False
    setting.now += 100
    assert display(setting.view).all()
    setting.level.fails = True
    display(setting.view)
    assert [text is None for text in setting.told] == [False, True, False]


def test_errors_that_are_not_the_store_s_are_never_hidden(setting):
    def broken(self, dtype=None, copy=None):
        raise ZeroDivisionError("a bug")

    setting.level.__class__ = type("Broken", (FailingLevel,), {"__array__": broken})
    with pytest.raises(ZeroDivisionError, match="a bug"):
        display(setting.view)


def test_a_pickled_view_reads_the_same_pixels_and_raises_errors(tmp_path):
    import pickle

    from napari_msimage.storage import DenseNDArray, LevelArray

    uri = str(tmp_path / "level")
    cells = np.arange(6, dtype=np.uint8).reshape(2, 3)
    with DenseNDArray.create(uri, type=cells.dtype, shape=cells.shape) as array:
        array.write((), cells)
    view = LevelView(LevelArray(uri), ReadFailures("i", lambda _: None))[:, ::2]
    copy = pickle.loads(pickle.dumps(view))
    np.testing.assert_array_equal(np.asarray(copy), cells[:, ::2])
    assert copy.failures is None
