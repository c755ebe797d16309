"""Open handles: shared by snapshot, closed by the last user, not used after a fork."""

from __future__ import annotations

import gc
import multiprocessing
import shutil
import threading
import time

import numpy as np
import pytest
import tiledb

from napari_msimage.errors import (
    ArgumentError,
    ArgumentTypeError,
    DoesNotExistError,
    FormatError,
    SOMAError,
    StorageError,
)
from napari_msimage.storage import SOMATileDBContext
from napari_msimage.storage._array_pool import ArrayLease, open_handles


def read_all(lease):
    with lease.reading() as array:
        out = np.empty(array.facts.shape, array.facts.dtype)
        array.read_box((0,) * out.ndim, out.shape, out)
    return out


def test_facts_come_from_the_schema(level_uri):
    with ArrayLease(level_uri).reading() as array:
        facts = array.facts
    assert facts.shape == (3, 97, 130)
    assert facts.dtype == np.uint16
    assert facts.tile_extents == (1, 32, 48)
    assert all(type(n) is int for n in facts.shape + facts.tile_extents)


def test_shape_is_the_current_domain_of_a_level_larger_than_memory(make_level):
    uri = make_level((1, 2**18, 2**18), "uint8", (1, 512, 512))
    with ArrayLease(uri).reading() as array:
        assert array.facts.shape == (1, 2**18, 2**18)


def test_a_box_is_read_exactly(level_uri, pixels):
    with ArrayLease(level_uri).reading() as array:
        out = np.empty((2, 40, 30), np.uint16)
        array.read_box((1, 50, 100), (3, 90, 130), out)
    np.testing.assert_array_equal(out, pixels[1:3, 50:90, 100:130])


@pytest.mark.parametrize(
    "dtype",
    ["int8", "uint16", "int32", "uint64", "float32", "float64", "datetime64[ms]"],
)
def test_every_type_of_cell_is_read(save_level, dtype):
    values = np.arange(35).reshape(5, 7).astype(dtype)
    uri = save_level(values, (4, 4))
    out = read_all(ArrayLease(uri))
    assert out.dtype == values.dtype
    np.testing.assert_array_equal(out, values)


def test_cells_never_written_have_the_fill_value(make_level):
    uri = make_level((5, 7), "float32", (4, 4))
    assert np.isnan(read_all(ArrayLease(uri))).all()


# Sharing and closing


def test_same_snapshot_shares_one_handle(level_uri):
    before = open_handles()
    first, second = ArrayLease(level_uri), ArrayLease(level_uri + "/")
    with first.reading() as one, second.reading() as two:
        assert one is two
    assert open_handles() == before + 1


def test_new_commits_are_another_snapshot(save_level, overwrite, pixels):
    uri = save_level(pixels, (1, 32, 48))
    old, new = ArrayLease(uri), ArrayLease(uri)
    read_all(old)
    overwrite(uri, pixels + 1)
    np.testing.assert_array_equal(read_all(old), pixels)
    np.testing.assert_array_equal(read_all(new), pixels + 1)
    with old.reading() as one, new.reading() as two:
        assert one.snapshot != two.snapshot


def test_timestamps_show_the_past(save_level, overwrite, pixels):
    uri = save_level(pixels, (1, 32, 48), timestamp=1000)
    overwrite(uri, pixels + 1, timestamp=2000)
    past = ArrayLease(uri, timestamp_ms=1500)
    np.testing.assert_array_equal(read_all(past), pixels)
    np.testing.assert_array_equal(read_all(ArrayLease(uri)), pixels + 1)


def test_two_times_with_the_same_cells_are_one_snapshot(save_level, overwrite, pixels):
    uri = save_level(pixels, (1, 32, 48), timestamp=1000)
    overwrite(uri, pixels + 1, timestamp=2000)
    early, late = (ArrayLease(uri, timestamp_ms=t) for t in (1200, 1800))
    with early.reading() as one, late.reading() as two:
        assert one is two


def test_the_context_gives_the_default_timestamp(save_level, overwrite, pixels):
    uri = save_level(pixels, (1, 32, 48), timestamp=1000)
    overwrite(uri, pixels + 1, timestamp=2000)
    lease = ArrayLease(uri, context=SOMATileDBContext(timestamp=1500))
    np.testing.assert_array_equal(read_all(lease), pixels)


def test_a_resized_level_is_another_snapshot(make_level):
    uri = make_level((5, 7), "uint8", (4, 4))
    old = ArrayLease(uri)
    read_all(old)
    ctx = tiledb.default_ctx()
    schema = tiledb.ArraySchema.load(uri)
    rectangle = tiledb.NDRectangle(ctx, schema.domain)
    rectangle.set_range(0, 0, 9)
    rectangle.set_range(1, 0, 6)
    current = tiledb.CurrentDomain(ctx)
    current.set_ndrectangle(rectangle)
    change = tiledb.ArraySchemaEvolution()
    change.expand_current_domain(current)
    change.array_evolve(uri)
    with ArrayLease(uri).reading() as array:
        assert array.facts.shape == (10, 7)
    with old.reading() as array:
        assert array.facts.shape == (5, 7)


def test_dropping_the_last_lease_closes_the_handle(level_uri):
    gc.collect()
    before = open_handles()
    first, second = ArrayLease(level_uri), ArrayLease(level_uri)
    read_all(first)
    read_all(second)
    del first
    assert open_handles() == before + 1
    del second
    gc.collect()
    assert open_handles() == before


def test_release_is_idempotent_and_the_next_read_opens_again(level_uri, pixels):
    before = open_handles()
    lease = ArrayLease(level_uri)
    read_all(lease)
    lease.release()
    lease.release()
    assert open_handles() == before
    np.testing.assert_array_equal(read_all(lease), pixels)


def test_a_released_lease_keeps_its_snapshot(save_level, overwrite, pixels):
    uri = save_level(pixels, (1, 32, 48))
    lease = ArrayLease(uri)
    read_all(lease)
    time.sleep(0.002)
    overwrite(uri, pixels + 1)
    lease.release()
    np.testing.assert_array_equal(read_all(lease), pixels)
    lease.refresh()
    np.testing.assert_array_equal(read_all(lease), pixels + 1)


def test_refresh_stays_at_a_timestamp_that_was_asked_for(save_level, overwrite, pixels):
    uri = save_level(pixels, (1, 32, 48), timestamp=1000)
    lease = ArrayLease(uri, timestamp_ms=1500)
    read_all(lease)
    overwrite(uri, pixels + 1, timestamp=2000)
    lease.refresh()
    np.testing.assert_array_equal(read_all(lease), pixels)


def test_release_does_not_close_under_a_reader(level_uri, pixels):
    lease = ArrayLease(level_uri)
    before = open_handles()
    out = np.empty(pixels.shape, pixels.dtype)
    with lease.reading() as array:
        lease.release()
        assert open_handles() == before + 1
        array.read_box((0, 0, 0), pixels.shape, out)
    assert open_handles() == before
    np.testing.assert_array_equal(out, pixels)


def test_release_while_many_threads_read_never_fails(level_uri, pixels):
    lease = ArrayLease(level_uri)
    stop, failures = threading.Event(), []

    def read():
        try:
            while not stop.is_set():
                np.testing.assert_array_equal(read_all(lease), pixels)
        except Exception as err:  # noqa: BLE001 - any failure counts
            failures.append(err)

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(100):
        lease.release()
        time.sleep(0.001)
    stop.set()
    for thread in threads:
        thread.join(20)
    assert failures == []


def test_given_back_inside_the_pool_is_closed_by_the_next_caller(level_uri):
    from napari_msimage.storage import _array_pool

    before = open_handles()
    lease = ArrayLease(level_uri)
    read_all(lease)
    with _array_pool._pool._lock:  # as if the collector ran inside a method
        del lease
    assert open_handles() == before


# What is not a level


def test_missing_array_says_so(tmp_path):
    with (
        pytest.raises(DoesNotExistError, match="Cannot open the level"),
        ArrayLease(str(tmp_path / "none")).reading(),
    ):
        pass


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"attribute": "other"}, r"attributes \['other'\], expected only 'soma_data'"),
        ({"sparse": True}, "a sparse array, expected a dense one"),
        ({"current_domain": False}, "no current domain"),
        ({"first": 1}, r"current domain \[\(1, 4\), \(1, 6\)\], expected.*starts at 0"),
    ],
    ids=["attribute", "sparse", "no current domain", "not from 0"],
)
def test_an_array_that_is_no_level_is_refused(make_level, options, message):
    uri = make_level((5, 7), "uint8", (4, 4), **options)
    before = open_handles()
    with (
        pytest.raises(FormatError, match=f"cannot be a level.*{message}"),
        ArrayLease(uri).reading(),
    ):
        pass
    assert open_handles() == before


def test_dimensions_must_be_int64(make_level):
    uri = make_level((5, 7), "uint8", (4, 4), dim_dtype="int32", current_domain=False)
    with (
        pytest.raises(FormatError, match="type int32, expected int64 dimensions"),
        ArrayLease(uri).reading(),
    ):
        pass


def test_cells_that_are_no_numbers_are_refused(make_level):
    uri = make_level((5, 7), "S4", (4, 4))
    with (
        pytest.raises(FormatError, match="expected plain numbers"),
        ArrayLease(uri).reading(),
    ):
        pass


@pytest.mark.parametrize(
    ("uri", "error", "message"),
    [
        (b"level", ArgumentTypeError, "uri must be a str, got bytes"),
        ("", ArgumentError, "non-empty"),
        ("a\0b", ArgumentError, "without NUL"),
    ],
    ids=["bytes", "empty", "NUL"],
)
def test_bad_addresses_are_refused(uri, error, message):
    with pytest.raises(error, match=message):
        ArrayLease(uri)


def test_level_removed_while_open_says_so(save_level, pixels):
    uri = save_level(pixels, (1, 32, 48))
    lease = ArrayLease(uri)
    with lease.reading():
        pass
    shutil.rmtree(uri)
    with pytest.raises(DoesNotExistError, match=r"read the array.*moved or removed"):
        read_all(lease)


def test_damaged_fragment_is_a_storage_error(save_level, pixels, tmp_path):
    uri = save_level(pixels, (1, 32, 48))
    (data,) = [
        path
        for path in (tmp_path / "saved" / "__fragments").glob("*/*.tdb")
        if path.name != "__fragment_metadata.tdb"
    ]
    data.write_bytes(data.read_bytes()[:100])
    with pytest.raises(SOMAError, match=r"Cannot read the array"):
        read_all(ArrayLease(uri))


def test_a_read_beyond_the_memory_budget_is_a_clear_error(save_level):
    uri = save_level(np.zeros((2000, 2000), np.uint8), (2000, 2000))
    context = SOMATileDBContext({"sm.mem.total_budget": 2**20})
    with pytest.raises(StorageError, match=r"read a smaller part|Read a smaller part"):
        read_all(ArrayLease(uri, context=context))


# Forks


@pytest.mark.skipif(
    "fork" not in multiprocessing.get_all_start_methods(), reason="needs os.fork"
)
@pytest.mark.filterwarnings("ignore:.*fork")
def test_a_forked_child_neither_uses_nor_closes_its_parents_handles(level_uri, pixels):
    lease = ArrayLease(level_uri)
    read_all(lease)
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    child = context.Process(target=_drop_in_child, args=(lease, queue))
    child.start()
    child.join(20)
    stuck = child.is_alive()
    if stuck:
        child.kill()
    assert not stuck
    assert queue.get() == (0, 0)
    np.testing.assert_array_equal(read_all(lease), pixels)


def _drop_in_child(lease, queue):
    held = open_handles()
    lease.release()
    queue.put((held, open_handles()))
