"""Small files of a store are looked at before TileDB reads them."""

from __future__ import annotations

import os
import random
import shutil
import struct
import time
from pathlib import Path

import pytest

from napari_msimage import DenseNDArray, MultiscaleImage
from napari_msimage.errors import FormatError, SOMAError
from napari_msimage.storage import _group, _header_check, probe
from napari_msimage.storage._header_check import check_headers

FOLDERS = ["__meta", "__group", "level0/__schema", "level0/__meta"]
N_MUTATIONS = 60
N_HEADER_BYTES = 140


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    uri = str(tmp_path_factory.mktemp("good") / "pyramid.soma")
    MultiscaleImage.create(uri, type="uint8", level_shape=(3, 9, 11)).close()
    return Path(uri)


@pytest.fixture
def path(good, tmp_path):
    return Path(shutil.copytree(good, tmp_path / "pyramid.soma"))


def one_file(folder: Path) -> Path:
    return next(entry for entry in sorted(folder.iterdir()) if entry.is_file())


@pytest.mark.parametrize("folder", FOLDERS)
@pytest.mark.parametrize("seed", range(5))
def test_mutated_headers_end_quickly_in_an_error_or_in_an_image(
    path, folder, seed, monkeypatch
):
    monkeypatch.setattr(_group.time, "sleep", lambda _seconds: None)  # no second try
    file = one_file(path / folder)
    whole = file.read_bytes()
    rng = random.Random(f"{folder} {seed}")
    for _ in range(N_MUTATIONS // 5):
        damaged = bytearray(whole)
        for _ in range(rng.randint(1, 4)):
            at = rng.randrange(min(N_HEADER_BYTES, len(damaged)))
            damaged[at] = rng.choice([0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)])
        if rng.random() < 0.3:
            damaged = damaged[: rng.randrange(len(damaged))]
        file.write_bytes(damaged)
        start = time.monotonic()
        try:
            with MultiscaleImage.open(str(path)) as image:
                image["level0"].read()
        except SOMAError as error:
            assert str(path) in str(error)  # noqa: PT017 - some mutations are harmless
        assert time.monotonic() - start < 5
        assert probe(str(path)) in ("SOMAMultiscaleImage", "group")


@pytest.mark.parametrize("folder", FOLDERS)
def test_sizes_that_do_not_add_up_never_reach_tiledb(path, folder):
    file = one_file(path / folder)
    whole = file.read_bytes()
    for offset, encryption in ((4, 0), (12, 0), (4, 1), (12, 1)):
        damaged = bytearray(whole)
        damaged[offset : offset + 8] = struct.pack("<Q", 2**40)
        damaged[29] = encryption
        file.write_bytes(damaged)
        with pytest.raises(FormatError, match="cut short or damaged"):
            check_headers(str(file.parent.parent))


@pytest.mark.parametrize("folder", FOLDERS)
@pytest.mark.parametrize(
    "name", [".DS_Store", "Thumbs.db", "x.tmp", "__1_2_a\n", "__1"]
)
def test_stray_files_are_named(path, folder, name):
    stray = path / folder / name
    stray.write_bytes(b"")
    with pytest.raises(FormatError, match="does not belong into a TileDB store"):
        check_headers(str(stray.parent.parent))


@pytest.mark.parametrize("folder", ["__meta", "__group"])
@pytest.mark.parametrize("kind", ["folder", "pipe", "link to a device"])
def test_what_is_no_plain_file_is_never_opened(path, folder, kind):
    stray = path / folder / "__1_1_abc"
    if kind == "folder":
        stray.mkdir()
    elif kind == "pipe":
        os.mkfifo(stray)  # opening it would wait for a writer
    else:
        stray.symlink_to("/dev/zero")
    with pytest.raises(FormatError, match="does not belong into a TileDB store"):
        MultiscaleImage.open(str(path))


def test_empty_file_of_a_stopped_writer_is_named(path):
    (path / "__group" / "__5_5_0123456789abcdef0123456789abcdef_2").write_bytes(b"")
    with pytest.raises(FormatError, match=r"__5_5_.*\(0 bytes\) is cut short"):
        MultiscaleImage.open(str(path))


def test_vacuum_files_and_enumerations_are_left_alone(path):
    (path / "__meta" / "__1_2_abc.vac").write_text("x")
    assert (path / "level0" / "__schema" / "__enumerations").is_dir()
    check_headers(str(path))
    check_headers(str(path / "level0"))


def test_many_small_files_are_too_much_at_some_point(path, monkeypatch):
    monkeypatch.setattr(_header_check, "_MAX_FILES", 5)
    for i in range(6):
        shutil.copy(one_file(path / "__meta"), path / "__meta" / f"__{i}_{i}_abc")
    with pytest.raises(FormatError, match="more than 5 files"):
        check_headers(str(path))


def test_many_large_files_are_too_much_together(path, monkeypatch):
    monkeypatch.setattr(_header_check, "_MAX_UNPACKED_IN_ALL", 1000)
    for i in range(6):
        shutil.copy(one_file(path / "__meta"), path / "__meta" / f"__{i}_{i}_abc")
    with pytest.raises(FormatError, match="too much to open it safely"):
        check_headers(str(path))


def test_other_folders_pass(tmp_path):
    check_headers(str(tmp_path))
    check_headers(str(tmp_path / "missing"))


def test_arrays_are_checked_when_opened_alone(path):
    (path / "level0" / "__schema" / "notes").write_text("mine")
    with pytest.raises(FormatError, match="notes"):
        DenseNDArray.open(str(path / "level0"))
    assert probe(str(path / "level0")) == "array"
