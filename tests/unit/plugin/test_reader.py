"""get_reader: what it takes, what it leaves to others, and that it is cheap."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from napari_msimage.plugin import get_reader
from napari_msimage.plugin._open import image_name


@pytest.fixture
def group(tmp_path):
    """Return a folder that looks like a TileDB group."""
    folder = tmp_path / "liver.soma"
    (folder / "__group").mkdir(parents=True)
    (folder / "__tiledb_group.tdb").touch()
    return folder


def test_group_folders_are_taken(group, monkeypatch):
    assert callable(get_reader(str(group)))
    assert callable(get_reader(f"{group}/"))
    assert callable(get_reader(group))
    monkeypatch.chdir(group.parent)
    assert callable(get_reader("liver.soma"))
    assert callable(get_reader("./liver.soma/"))


def test_damaged_groups_and_arrays_are_taken_to_say_what_they_are(tmp_path):
    for mark in ("__group", "__schema"):
        folder = tmp_path / mark[2:]
        (folder / mark).mkdir(parents=True)
        assert callable(get_reader(str(folder)))


def test_anything_else_is_left_to_others(tmp_path):
    (tmp_path / "empty.soma").mkdir()
    (tmp_path / "picture.soma").write_bytes(b"\0" * 100)
    for path in ("empty.soma", "picture.soma", "missing.soma", "."):
        assert get_reader(str(tmp_path / path)) is None


@pytest.mark.parametrize(
    "uri", ["s3://bucket/liver", "s3://b/liver.soma/", "tiledb://me/liver", "gcs://b/i"]
)
def test_remote_addresses_are_taken_unseen(uri):
    assert callable(get_reader(uri))


@pytest.mark.parametrize(
    "uri",
    [
        "https://example.org/liver.soma",
        "s3://bucket/liver.zarr",
        "s3://bucket/liver.zarr/0",
        "s3://",
        "file:///nowhere/liver.soma",
    ],
)
def test_addresses_of_others_are_left_to_them(uri):
    assert get_reader(uri) is None


@pytest.mark.parametrize(
    "odd", ["", "\0", "a\0b", [], None, 3, [None], "x" * 5000, b"\xff", [[]]]
)
def test_odd_input_is_refused_without_an_error(odd):
    assert get_reader(odd) is None


def test_several_are_taken_only_together(group, tmp_path):
    assert callable(get_reader([str(group), str(group)]))
    assert get_reader([str(group), str(tmp_path)]) is None


def test_probe_loads_nothing_heavy(tmp_path):
    code = (
        "import sys; from napari_msimage.plugin._reader import get_reader;"
        f"assert get_reader({str(tmp_path)!r}) is None;"
        "heavy = {'tiledb', 'napari', 'numpy', 'pydantic', 'qtpy'} & set(sys.modules);"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("uri", "name"),
    [
        ("/data/liver.soma", "liver"),
        ("/data/liver.SOMA/", "liver"),
        ("s3://bucket/a b.tiledb", "a b"),
        ("liver", "liver"),
        ("./.soma", ".soma"),
        ("C:\\data\\liver.tdb", "liver"),
        ("/", "/"),
    ],
)
def test_images_are_named_by_the_last_part(uri, name):
    assert image_name(uri) == name


def test_manifest_patterns_reach_images_and_spare_zarr():
    from fnmatch import fnmatch

    import yaml

    manifest = Path(__file__).parents[3] / "napari.yaml"
    reader = yaml.safe_load(manifest.read_text())["contributions"]["readers"][0]
    assert reader["accepts_directories"] is True

    def is_matched(path):
        return any(fnmatch(path, p) for p in reader["filename_patterns"])

    ours = ["a.soma", "a.soma/", "a.tdb", "a.tiledb/", "tiledb://me/a"]
    ours += ["s3://b/liver", "s3://b/t.soma", "s3://b/img/tissue", "s3://b/r"]
    others = ["a.tif", "a.zarr", "s3://b/x.zarr", "a.img", "https://b/x.soma.zip", "a"]
    assert [path for path in ours if not is_matched(path)] == []
    assert [path for path in others if is_matched(path)] == []
