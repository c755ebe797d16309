"""Context, timestamps, addresses and the translation of errors."""

from __future__ import annotations

import copy
import datetime
import errno
import os
import pickle

import numpy as np
import pytest
import tiledb
from hypothesis import given
from hypothesis import strategies as st

from napari_msimage import errors
from napari_msimage.storage import MultiscaleImage, SOMATileDBContext, probe
from napari_msimage.storage import _context as context

# The context object


def test_context_merges_defaults_and_overrides():
    own = SOMATileDBContext({"vfs.s3.connect_max_tries": 7, "sm.mem.malloc_trim": True})
    assert own.tiledb_config["vfs.s3.connect_max_tries"] == "7"
    assert own.tiledb_config["sm.mem.malloc_trim"] == "true"
    assert own.tiledb_config["sm.enable_signal_handlers"] == "false"


def test_local_reading_defaults_can_be_overridden():
    assert SOMATileDBContext().tiledb_ctx("/a").config()["vfs.min_batch_size"] == "0"
    own = SOMATileDBContext({"vfs.min_batch_size": 5})
    assert own.tiledb_ctx("/a").config()["vfs.min_batch_size"] == "5"


def test_equal_configurations_share_one_tiledb_context():
    assert SOMATileDBContext().tiledb_ctx("/a") is SOMATileDBContext().tiledb_ctx("/b")
    other = SOMATileDBContext({"sm.io_concurrency_level": 1})
    assert other.tiledb_ctx("/a") is not SOMATileDBContext().tiledb_ctx("/a")


def test_context_is_a_value():
    one = SOMATileDBContext({"a": 1}, timestamp=5)
    for other in (copy.deepcopy(one), pickle.loads(pickle.dumps(one)), one.replace()):
        assert other == one
        assert hash(other) == hash(one)
    assert one != SOMATileDBContext({"a": 1})
    assert repr(one) == "SOMATileDBContext(tiledb_config={'a': '1'}, timestamp=5)"


def test_replace_changes_one_thing_at_a_time():
    one = SOMATileDBContext({"a": 1, "b": 2}, timestamp=5)
    assert one.replace(timestamp=None) == SOMATileDBContext({"a": 1, "b": 2})
    assert one.replace(timestamp=6).timestamp_ms == 6
    changed = one.replace(tiledb_config={"a": None, "c": 3})
    assert changed == SOMATileDBContext({"b": 2, "c": 3}, timestamp=5)
    with pytest.raises(errors.ArgumentTypeError, match="timestamp must be"):
        one.replace(timestamp="2020")


@pytest.mark.parametrize("config", [[1], "text", 3, {"a": None}, {1: "a"}, {"a": []}])
def test_configuration_must_be_names_and_values(config):
    with pytest.raises(errors.ArgumentTypeError, match="tiledb_config must be"):
        SOMATileDBContext(config)


@pytest.mark.parametrize(
    "config", [{"sm.io_concurrency_level": "abc"}, {"vfs.s3.scheme": "zz"}], ids=str
)
def test_setting_that_tiledb_refuses_is_an_argument_error(tmp_uri, config):
    own = SOMATileDBContext(config)
    with pytest.raises(errors.ArgumentError, match="Correct this setting"):
        MultiscaleImage.open(tmp_uri, context=own)
    assert probe(tmp_uri, own) is None


def test_open_timestamp_prefers_the_argument():
    own = SOMATileDBContext(timestamp=5)
    assert own.open_timestamp_ms(7) == 7
    assert own.open_timestamp_ms(None) == own.open_timestamp_ms(0) == 5
    assert SOMATileDBContext(timestamp=0).open_timestamp_ms(None) is None


def test_other_things_are_no_context():
    assert context.check_context(None) == SOMATileDBContext()
    with pytest.raises(errors.ArgumentTypeError, match="got dict"):
        context.check_context({"a": 1})


# Timestamps


@given(st.integers(0, 250_000_000_000_000))
def test_milliseconds_survive_the_way_through_datetime(ms):
    assert context.to_timestamp_ms(context.ms_to_datetime(ms)) == ms


def test_datetime_of_any_zone_means_its_instant():
    zone = datetime.timezone(datetime.timedelta(hours=5, minutes=30))
    when = datetime.datetime(2024, 5, 6, 7, 8, 9, 123_999, tzinfo=zone)
    assert context.to_timestamp_ms(when) == 1_714_959_489_123
    naive = datetime.datetime(2024, 5, 6, 7, 8, 9)
    assert context.to_timestamp_ms(naive) == naive.timestamp() * 1000


def test_far_future_is_shown_as_the_last_datetime():
    assert context.ms_to_datetime(2**64 - 1).year == 9999


def test_numpy_integers_are_timestamps():
    assert context.to_timestamp_ms(np.int64(5)) == 5


@pytest.mark.parametrize(
    "value",
    [
        -1,
        2**64,
        datetime.datetime(1960, 1, 1, tzinfo=datetime.UTC),
        datetime.datetime.min,
    ],
    ids=str,
)
def test_timestamp_out_of_range_is_refused(value):
    with pytest.raises(errors.ArgumentError, match=r"in \[0, 2\*\*64\)"):
        context.to_timestamp_ms(value)


@pytest.mark.parametrize("value", [5.0, "5", None, [5]], ids=str)
def test_timestamp_of_another_type_is_refused(value):
    with pytest.raises(errors.ArgumentTypeError, match="timestamp must be an int"):
        context.to_timestamp_ms(value)


# Addresses


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("/a/b/", "/a/b"),
        ("/a/./b/../c", "/a/c"),
        ("file:///a/b/", "/a/b"),
        ("file://localhost/a", "/a"),
        ("s3://bucket/a/", "s3://bucket/a"),
        ("s3://bucket/a?b#c", "s3://bucket/a?b#c"),
        ("mem://a/", "mem://a"),
        ("/a b/%20é#?", "/a b/%20é#?"),
    ],
)
def test_addresses_are_normalized(uri, expected):
    assert context.normalize_uri(context.check_uri(uri)) == expected


def test_relative_addresses_and_home_become_absolute(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/me")
    assert context.normalize_uri("a/b") == str(tmp_path / "a" / "b")
    assert context.normalize_uri("~/b") == "/home/me/b"


def test_escapes_of_file_addresses_are_a_second_try(tmp_path):
    (tmp_path / "a b").mkdir()
    address = f"file://{tmp_path}/a%20b"
    assert context.normalize_uri(address) == str(tmp_path / "a b")
    (tmp_path / "a%20b").mkdir()
    assert context.normalize_uri(address) == str(tmp_path / "a%20b")


@pytest.mark.parametrize("uri", ["", "a\0b", "file://host/a", "file://[x/y", "file://"])
def test_addresses_that_mean_nothing_are_refused(uri):
    with pytest.raises(errors.ArgumentError, match=r"uri must|file address"):
        MultiscaleImage.open(uri)
    assert probe(uri) is None


@pytest.mark.parametrize("uri", [None, 5, b"/a"], ids=str)
def test_addresses_must_be_text(uri):
    with pytest.raises(errors.ArgumentTypeError, match="uri must be a str"):
        MultiscaleImage.open(uri)
    assert probe(uri) is None


def test_path_objects_are_refused_with_advice(tmp_path):
    with pytest.raises(errors.ArgumentTypeError, match=r"use str\(path\)"):
        MultiscaleImage.open(tmp_path)


@pytest.mark.parametrize(
    ("uri", "local"),
    [("/a", True), ("a", True), ("file:///a", True), ("s3://a", False), ("c:/a", True)],
)
def test_only_paths_and_file_addresses_are_local(uri, local):
    assert context.is_local(uri) is local


# Translation of errors

TILEDB = tiledb.TileDBError
ERRORS = {
    "disk_full": (OSError(errno.ENOSPC, "x"), errors.StorageError, "disk is full"),
    "disk_full_tiledb": (
        TILEDB("No space left on device"),
        errors.StorageError,
        "disk is full",
    ),
    "permission": (PermissionError(errno.EACCES, "x"), errors.AccessError, "permiss"),
    "read_only": (OSError(errno.EROFS, "x"), errors.AccessError, "permiss"),
    "forbidden": (TILEDB("HTTP 403 Forbidden"), errors.AccessError, "permissions"),
    "missing": (FileNotFoundError(errno.ENOENT, "x"), errors.DoesNotExistError, "mov"),
    "missing_tiledb": (
        TILEDB("Array does not exist"),
        errors.DoesNotExistError,
        "moved or removed",
    ),
    "taken": (TILEDB("already exists"), errors.AlreadyExistsError, "Choose another"),
    "no_answer": (TILEDB("curlCode: 28"), errors.StorageError, "does not answer"),
    "memory": (MemoryError(), errors.StorageError, "memory"),
    "bad_alloc": (TILEDB("std::bad_alloc"), errors.StorageError, "memory"),
    "scheme": (TILEDB("Unsupported URI scheme: x"), errors.ArgumentError, "address"),
    "anything": (UnicodeDecodeError("utf-8", b"", 0, 1, "x"), errors.StorageError, ""),
}


@pytest.mark.parametrize("name", ERRORS)
def test_foreign_errors_are_translated(name):
    cause, kind, advice = ERRORS[name]
    with (
        pytest.raises(kind, match=f"Cannot open it at 'u'.*{advice}") as info,
        context.storage_errors("open it", "u"),
    ):
        raise cause
    assert type(info.value) is kind
    assert info.value.__cause__ is cause


def test_our_own_errors_pass_untouched():
    mine = errors.FormatError("mine")
    with (
        pytest.raises(errors.FormatError, match=r"^mine$"),
        context.storage_errors("a", "u"),
    ):
        raise mine


def test_interrupts_are_not_translated():
    with (
        pytest.raises(KeyboardInterrupt, match=r"^$"),
        context.storage_errors("open it", "u"),
    ):
        raise KeyboardInterrupt


def test_long_messages_are_cut():
    with (
        pytest.raises(errors.StorageError, match="…") as info,
        context.storage_errors("open it", "u"),
    ):
        raise TILEDB("x " * 5000)
    assert len(str(info.value)) < 500


def test_unknown_scheme_is_an_argument_error():
    with pytest.raises(errors.ArgumentError, match="does not know this kind"):
        MultiscaleImage.open("nowhere://a/b")


def test_probe_leaves_odd_addresses_alone():
    for uri in ("\ud800", "x" * 5000, "~nobody/a", "mem://nothing", os.sep):
        assert probe(uri) is None
