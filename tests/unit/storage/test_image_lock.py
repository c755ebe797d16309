"""One program at a time: taken, given up, dropped by death, and on odd systems."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import textwrap
import threading

import pytest

from napari_msimage.errors import (
    AccessError,
    BusyError,
    DoesNotExistError,
    SOMAError,
    StorageError,
)
from napari_msimage.storage import _image_lock
from napari_msimage.storage._image_lock import LOCK_NAME, ImageLock
from napari_msimage.storage._staging import host_hash


def take(folder, task="making levels"):
    return ImageLock("image.soma", str(folder), task)


def records(folder):
    lines = (folder / LOCK_NAME).read_text().splitlines()
    return [json.loads(line) for line in lines if line]


def test_file_says_who_holds_it_and_goes_with_the_lock(tmp_path):
    with take(tmp_path, "counting cells") as lock:
        assert lock.is_current()
        (owner,) = records(tmp_path)
        assert owner["pid"] == os.getpid()
        assert owner["task"] == "counting cells"
        assert {"host", "since"} <= set(owner)
    assert os.listdir(tmp_path) == []
    assert not lock.is_current()
    lock.release()


def test_second_holder_in_this_program_is_refused(tmp_path):
    with take(tmp_path, "counting cells"):
        with pytest.raises(BusyError, match=r"this program itself .*counting cells"):
            take(tmp_path)
        assert issubclass(BusyError, BlockingIOError)
        assert issubclass(BusyError, SOMAError)
    take(tmp_path).release()


def test_one_of_many_threads_gets_it(tmp_path):
    start, end, got = threading.Barrier(8), threading.Barrier(8), []

    def try_it():
        start.wait()
        try:
            lock = take(tmp_path)
        except BusyError:
            lock = None
        got.append(lock is not None)
        end.wait()
        if lock:
            lock.release()

    for _ in range(10):
        threads = [threading.Thread(target=try_it) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sum(got) == 1
        got.clear()
        assert os.listdir(tmp_path) == []


HOLDER = """
    import os, sys
    from napari_msimage.storage._image_lock import ImageLock
    lock = ImageLock("image.soma", sys.argv[1], "a long job")
    lock.write({"note": 7})
    print("held", flush=True)
    sys.stdin.readline()
"""


def kill(process):
    process.kill()
    process.wait()


@pytest.fixture
def holder(tmp_path):
    """Another process that holds the lock until it is killed."""
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(HOLDER), str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_other_process_is_named_and_its_death_frees_the_lock(tmp_path, holder):
    message = rf"process {holder.pid} on .* since \d{{4}}-.*a long job.*Wait until"
    with pytest.raises(BusyError, match=message):
        take(tmp_path)
    kill(holder)
    with take(tmp_path) as lock:
        assert lock.previous == ({"note": 7},)
        lock.forget_previous()
        assert lock.previous == ()
        (owner,) = records(tmp_path)
        assert owner["pid"] == os.getpid()
    assert os.listdir(tmp_path) == []


def test_records_stay_when_the_next_owner_needs_them(tmp_path):
    with take(tmp_path) as lock:
        lock.write({"note": 1})
        lock.keep = True
    with take(tmp_path) as lock:
        assert lock.previous == ({"note": 1},)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    "text",
    ["", "\0\1\2", '{"pid": 1', "[1]\n7\nnull\n", "[" * 9999, '{"pid": "x"}'],
    ids=repr,
)
def test_damaged_file_is_no_obstacle(tmp_path, text):
    (tmp_path / LOCK_NAME).write_text(text)
    with take(tmp_path) as lock:
        assert lock.previous == ()
        lock.write({"note": 2})
        lock.keep = True
    with take(tmp_path) as lock:
        assert lock.previous == ({"note": 2},)


def test_file_that_was_replaced_is_not_taken_for_the_lock(tmp_path, monkeypatch):
    """Its holder removes it between our opening and locking."""
    real, calls = _image_lock._lock_file, []

    def late(descriptor):
        if not calls:
            os.remove(tmp_path / LOCK_NAME)
        calls.append(descriptor)
        return real(descriptor)

    monkeypatch.setattr(_image_lock, "_lock_file", late)
    with take(tmp_path) as lock:
        assert len(calls) == 2
        assert lock.is_current()


def test_folder_that_is_gone_is_noticed(tmp_path):
    folder = tmp_path / "image"
    with pytest.raises(DoesNotExistError, match=r"image\.soma.*does not exist any"):
        take(folder)
    folder.mkdir()
    lock = take(folder)
    os.remove(folder / LOCK_NAME)
    folder.rmdir()
    assert not lock.is_current()
    lock.release()
    assert not folder.exists()


def test_file_of_another_holder_is_not_removed(tmp_path):
    first = take(tmp_path)
    os.remove(tmp_path / LOCK_NAME)
    with take(tmp_path) as second:
        first.release()
        assert second.is_current()


@pytest.mark.parametrize(
    "error", [PermissionError(errno.EACCES, "no"), OSError(errno.EROFS, "read-only")]
)
def test_read_only_folder(tmp_path, monkeypatch, error):
    def refuse(*_):
        raise error

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(AccessError, match=r"counting .*image\.soma.* is read-only"):
        take(tmp_path, "counting")


def test_full_disk_leaves_no_file(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(StorageError, match=r"lock the image .*disk is full"):
            take(tmp_path)
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(os.name == "nt", reason="no links there")
@pytest.mark.parametrize("kind", ["link", "folder", "pipe"])
def test_what_is_not_a_file_is_left_alone(tmp_path, kind):
    path, elsewhere = tmp_path / LOCK_NAME, tmp_path / "mine"
    elsewhere.write_text("text")
    {
        "link": lambda: path.symlink_to(elsewhere),
        "folder": path.mkdir,
        "pipe": lambda: os.mkfifo(path),
    }[kind]()
    with pytest.raises(StorageError, match="lock the image"):
        take(tmp_path)
    assert elsewhere.read_text() == "text"
    assert os.path.lexists(path)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork there")
@pytest.mark.filterwarnings("ignore:TileDB is a multithreading library")
def test_forked_child_does_not_hold_it(tmp_path):
    lock = take(tmp_path)
    ours, childs = os.pipe()
    child = os.fork()
    if not child:
        lock.release()
        os.close(ours)
        os.write(childs, b"1" if os.path.exists(tmp_path / LOCK_NAME) else b"0")
        threading.Event().wait(20)
        os._exit(0)
    try:
        assert os.read(ours, 1) == b"1"
        with pytest.raises(BusyError, match="this program"):
            take(tmp_path)
        lock.release()
        take(tmp_path).release()
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)
        os.close(ours)
        os.close(childs)


class TestWhereTheSystemCannotLock:
    """The file is the lock as long as its writer lives."""

    @pytest.fixture(autouse=True)
    def _cannot(self, monkeypatch):
        monkeypatch.setattr(_image_lock, "_lock_file", lambda _descriptor: False)

    def test_file_of_a_living_process_counts(self, tmp_path, holder):
        with pytest.raises(BusyError, match=f"process {holder.pid}"):
            take(tmp_path)

    def test_own_file_counts(self, tmp_path):
        with take(tmp_path):
            with pytest.raises(BusyError, match="this program itself"):
                take(tmp_path)
            assert len(records(tmp_path)) == 1
        take(tmp_path).release()

    def test_file_of_a_dead_process_does_not(self, tmp_path, holder):
        kill(holder)
        with take(tmp_path) as lock:
            assert lock.previous == ({"note": 7},)

    def test_kept_file_belongs_to_nobody(self, tmp_path):
        with take(tmp_path) as lock:
            lock.write({"note": 1})
            lock.keep = True
        with take(tmp_path) as lock:
            assert lock.previous == ({"note": 1},)

    @pytest.mark.parametrize("age_s", [10, 25 * 3600])
    def test_file_of_another_host_counts_for_a_day(self, tmp_path, age_s):
        path = tmp_path / LOCK_NAME
        path.write_text(json.dumps({"pid": 77, "host": "far", "hash": "0badcafe"}))
        made = os.stat(path).st_mtime - age_s
        os.utime(path, (made, made))
        if age_s > 24 * 3600:
            take(tmp_path).release()
            return
        with pytest.raises(BusyError, match="process 77 on 'far'"):
            take(tmp_path)


def test_lock_file_tells_containers_of_one_host_apart(monkeypatch):
    here = host_hash()
    monkeypatch.setattr(os, "readlink", lambda _path: "pid:[1]")
    assert host_hash() != here
