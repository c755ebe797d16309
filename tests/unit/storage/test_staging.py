"""Local folders that appear complete or not at all."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from types import SimpleNamespace

import pytest

from napari_msimage.errors import AlreadyExistsError, StorageError
from napari_msimage.storage._staging import (
    STAGING_MARK,
    check_space,
    host_hash,
    is_abandoned,
    staged_folder,
    staging_name,
)


def fill(folder):
    os.mkdir(folder)
    for name in ("__tiledb_group.tdb", "a", "b"):
        with open(os.path.join(folder, name), "w") as file:
            file.write(name)


def fill_and_stop(folder, notes=None):
    fill(folder)
    if notes:
        notes.write_text("mine")
    raise KeyboardInterrupt("stop")


def names(folder):
    return sorted(os.listdir(folder))


MADE = ["__tiledb_group.tdb", "a", "b"]


def test_folder_appears_with_its_parents(tmp_path):
    target = tmp_path / "x" / "y" / "z"
    with staged_folder(str(target)) as staged:
        fill(staged)
        assert not target.exists()
        assert STAGING_MARK in staged
    assert names(target) == MADE
    assert names(target.parent) == ["z"]


def test_failure_leaves_nothing(tmp_path):
    target = tmp_path / "x" / "y" / "z"
    with (
        pytest.raises(KeyboardInterrupt, match="stop"),
        staged_folder(str(target)) as staged,
    ):
        fill_and_stop(staged)
    assert names(tmp_path) == []


def test_failure_keeps_parents_that_others_use(tmp_path):
    target = tmp_path / "x" / "y" / "z"
    with (
        pytest.raises(KeyboardInterrupt, match="stop"),
        staged_folder(str(target)) as staged,
    ):
        fill_and_stop(staged, tmp_path / "x" / "notes")
    assert names(tmp_path / "x") == ["notes"]


@pytest.mark.parametrize("kind", ["empty", "with content", "link"])
def test_existing_folder_is_filled_and_keeps_its_content(tmp_path, kind):
    target = tmp_path / "z"
    real = tmp_path / "real" if kind == "link" else target
    real.mkdir()
    if kind == "with content":
        (target / "notes").write_text("mine")
    if kind == "link":
        target.symlink_to(real)
    with staged_folder(str(target)) as staged:
        fill(staged)
    assert names(target) == MADE + ["notes"] * (kind == "with content")
    assert target.is_symlink() == (kind == "link")
    assert not [name for name in names(tmp_path) if STAGING_MARK in name]


def test_content_of_the_same_name_is_not_replaced(tmp_path):
    (tmp_path / "z").mkdir()
    (tmp_path / "z" / "b").write_text("mine")
    with (
        pytest.raises(AlreadyExistsError, match="already holds 'b'"),
        staged_folder(str(tmp_path / "z")) as staged,
    ):
        fill(staged)
    assert names(tmp_path / "z") == ["b"]
    assert (tmp_path / "z" / "b").read_text() == "mine"


@pytest.mark.parametrize("fails_at", [1, 2, 3])
def test_moving_that_fails_half_way_is_taken_back(tmp_path, monkeypatch, fails_at):
    target = tmp_path / "z"
    target.mkdir()
    (target / "notes").write_text("mine")
    rename, calls = os.rename, []

    def failing(source, destination):
        calls.append(destination)
        if len(calls) == fails_at:
            raise OSError("no more")
        rename(source, destination)

    monkeypatch.setattr(os, "rename", failing)
    with (
        pytest.raises(OSError, match="no more"),
        staged_folder(str(target)) as staged,
    ):
        fill(staged)
    assert names(target) == ["notes"]
    assert names(tmp_path) == ["z"]


def test_what_makes_it_a_store_comes_last(tmp_path, monkeypatch):
    (tmp_path / "z").mkdir()
    (tmp_path / "z" / "notes").write_text("mine")
    rename, moved = os.rename, []

    def recording(source, destination):
        moved.append(os.path.basename(destination))
        rename(source, destination)

    monkeypatch.setattr(os, "rename", recording)
    with staged_folder(str(tmp_path / "z")) as staged:
        fill(staged)
    assert moved[-1] == "__tiledb_group.tdb"


def test_longest_names_can_be_staged(tmp_path):
    target = tmp_path / ("é" * 127)
    with staged_folder(str(target)) as staged:
        fill(staged)
    assert names(target) == MADE


# Whose it is


def test_staging_names_are_new_and_say_whose_they_are():
    name = staging_name()
    assert name.startswith(f"{STAGING_MARK}{host_hash()}_{os.getpid()}_")
    assert name != staging_name()


@pytest.fixture(scope="module")
def dead_pid():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


DAY_S = 24 * 3600


@pytest.mark.parametrize(
    ("owner", "age_s", "expected"),
    [
        ("{host}_{alive}_ab", 2 * DAY_S, False),
        ("{host}_{dead}_ab", 0, True),
        ("0badcafe_{dead}_ab", 0, False),
        ("0badcafe_{alive}_ab", DAY_S - 60, False),
        ("0badcafe_{alive}_ab", DAY_S + 60, True),
        ("e4d909c290d0fb1ca068ffaddf22cbd0", 0, False),
        ("e4d909c290d0fb1ca068ffaddf22cbd0", DAY_S + 60, True),
        ("", DAY_S + 60, True),
        ("{host}_x_ab", 0, False),
        ("{host}_99999999999999999999_ab", 0, False),
    ],
)
@pytest.mark.parametrize("prefix", ["", "tissue.soma."])
def test_abandoned_is_what_no_process_will_finish(
    tmp_path, dead_pid, prefix, owner, age_s, expected
):
    owner = owner.format(host=host_hash(), alive=os.getpid(), dead=dead_pid)
    path = tmp_path / f"{prefix}{STAGING_MARK}{owner}"
    path.mkdir()
    made = os.stat(path).st_mtime - age_s
    os.utime(path, (made, made))
    assert is_abandoned(str(path)) == expected


def test_missing_folder_of_another_host_is_not_abandoned(tmp_path):
    assert not is_abandoned(str(tmp_path / f"{STAGING_MARK}0badcafe_1_ab"))


def test_space_is_enough_with_a_margin(tmp_path, monkeypatch):
    usage = SimpleNamespace(free=11 * 2**20)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage)
    check_space(str(tmp_path), 10 * 2**20, "x")
    message = r"space for 'x': up to 12\.1 MiB are needed and 11\.0 MiB are free in .*"
    with pytest.raises(StorageError, match=message):
        check_space(str(tmp_path), 11 * 2**20, "x")
