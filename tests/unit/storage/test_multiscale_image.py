"""Lives of image objects: sessions, threads, forgotten closes, odd places."""

from __future__ import annotations

import copy
import gc
import os
import pickle
import subprocess
import sys
import tempfile
import threading
import time
import warnings

import numpy as np
import pytest

from napari_msimage import DenseNDArray, MultiscaleImage
from napari_msimage.errors import (
    AlreadyExistsError,
    ArgumentError,
    ArgumentTypeError,
    FormatError,
    ModeError,
    SOMAError,
    StoreWarning,
)
from napari_msimage.storage import STAGING_MARK

SHAPE = (3, 9, 11)
PIXELS = np.random.default_rng(1).integers(0, 255, SHAPE).astype(np.uint8)


def make(uri, **options):
    options = {"type": "uint8", "level_shape": SHAPE, **options}
    with MultiscaleImage.create(uri, **options) as image:
        image["level0"].write((), PIXELS)
    return uri


@pytest.fixture
def uri(tmp_uri):
    return make(tmp_uri)


def tree(path):
    return sorted(
        os.path.relpath(os.path.join(folder, name), path)
        for folder, names, files in os.walk(path)
        for name in (*names, *files)
    )


# Copies and life times


@pytest.mark.parametrize("copying", [copy.copy, copy.deepcopy, pickle.dumps])
def test_open_objects_are_not_copied(uri, copying):
    image = MultiscaleImage.open(uri)
    for thing in (image, image["level0"]):
        with pytest.raises(ArgumentTypeError, match="pass its uri"):
            copying(thing)
    gc.collect()
    np.testing.assert_array_equal(image["level0"].read(), PIXELS)
    image.close()


def test_level_is_one_object_while_somebody_keeps_it(uri):
    with MultiscaleImage.open(uri) as image:
        level = image["level0"]
        assert image["level0"] is level
        level.close()
        assert image["level0"] is not level
        assert not image["level0"].closed


def test_levels_keep_their_image_without_a_cycle(uri):
    gc.collect()
    gc.disable()
    try:
        level = MultiscaleImage.open(uri)["level0"]
        np.testing.assert_array_equal(level.read(), PIXELS)
        state = level._state
        del level
        assert state.closed, "the last user is gone, but the handle is open"
    finally:
        gc.enable()


def test_dropped_image_writes_what_is_pending(uri):
    gc.disable()
    try:
        image = MultiscaleImage.open(uri, "w")
        image.metadata["k"] = "v"
        image.add_new_level("level1", shape=(3, 4, 5))
        del image
    finally:
        gc.enable()
    with MultiscaleImage.open(uri) as image:
        assert image.metadata["k"] == "v"
        assert list(image) == ["level0", "level1"]


FORGETFUL = {
    "plain": "",
    "with a level": "level = image['level0']",
    "in a cycle": "cycle = [image]; cycle.append(cycle)",
    "in a class": "class Holder: held = image",
}


@pytest.mark.parametrize("how", FORGETFUL)
def test_program_that_ends_without_closing_loses_nothing(uri, how):
    script = (
        "import sys; from napari_msimage import MultiscaleImage\n"
        "image = MultiscaleImage.open(sys.argv[1], 'w')\n"
        "image.metadata['k'] = 'v'\n" + FORGETFUL[how]
    )
    command = [sys.executable, "-W", "error", "-c", script, uri]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert MultiscaleImage.open(uri).metadata["k"] == "v"


def test_error_in_a_with_block_still_closes(uri):
    image = MultiscaleImage.open(uri, "w")
    with pytest.raises(ArgumentTypeError, match="must be str, bytes"), image:
        image.metadata.update({"k": "v", "wrong": None})
    assert image.closed
    assert MultiscaleImage.open(uri).metadata["k"] == "v"
    image.close()


def test_reopening_that_fails_changes_nothing(uri):
    image = MultiscaleImage.open(uri, "w", tiledb_timestamp=2_000_000_000_000)
    os.rename(uri, uri + ".away")
    with pytest.raises(SOMAError, match="Nothing is stored"):
        image.reopen("r", tiledb_timestamp=5)
    os.rename(uri + ".away", uri)
    assert (image.mode, image.tiledb_timestamp_ms) == ("w", 2_000_000_000_000)
    image.metadata["k"] = "v"
    image.close()
    assert "k" not in MultiscaleImage.open(uri).metadata
    later = MultiscaleImage.open(uri, tiledb_timestamp=2_000_000_000_000)
    assert later.metadata["k"] == "v"


# Two sessions


def test_two_sessions_add_different_levels(uri):
    one, two = MultiscaleImage.open(uri, "w"), MultiscaleImage.open(uri, "w")
    one.add_new_level("one", shape=(3, 4, 5))
    two.add_new_level("two", shape=(3, 4, 5))
    two.close()
    one.close()
    assert set(MultiscaleImage.open(uri)) == {"level0", "one", "two"}


def test_level_of_another_session_is_not_replaced(uri):
    one, two = MultiscaleImage.open(uri, "w"), MultiscaleImage.open(uri, "w")
    one.add_new_level("new", shape=(3, 4, 5)).write((), np.full((3, 4, 5), 1, "u1"))
    two.add_new_level("new", shape=(3, 2, 2)).write((), np.full((3, 2, 2), 2, "u1"))
    one.close()
    with pytest.raises(AlreadyExistsError, match="Another session has added a level"):
        two.close()
    assert not two.closed
    with pytest.warns(DeprecationWarning, match="mode 'd'"):
        del two["new"]
    two.close()
    with MultiscaleImage.open(uri) as image:
        assert (image["new"].read() == 1).all()


def test_level_that_another_session_deleted_is_deleted(uri):
    one, two = MultiscaleImage.open(uri, "d"), MultiscaleImage.open(uri, "d")
    for image in (one, two):
        del image["level0"]
        image.close()
    assert list(MultiscaleImage.open(uri)) == []


def test_deleting_wins_over_a_session_begun_and_ended_meanwhile(uri):
    with MultiscaleImage.open(uri, "w") as image:
        image.add_new_level("level1", shape=(3, 4, 5))
    one = MultiscaleImage.open(uri, "d")
    with MultiscaleImage.open(uri, "w") as two:
        two.add_new_level("two", shape=(3, 4, 5))
    del one["level1"]
    one.close()
    with warnings.catch_warnings():
        warnings.simplefilter("error", StoreWarning)
        assert list(MultiscaleImage.open(uri)) == ["level0", "two"]


def test_later_session_with_the_same_explicit_time_wins(tmp_path):
    for trial in range(6):  # equal timestamps would be replayed in random order
        uri = make(str(tmp_path / f"{trial}"), tiledb_timestamp=1000)
        with MultiscaleImage.open(uri, "d", tiledb_timestamp=1000) as image:
            del image["level0"]
        assert list(MultiscaleImage.open(uri)) == []


# Limits that keep an image readable


def test_no_more_levels_than_can_be_read(uri):
    with MultiscaleImage.open(uri, "w") as image:
        for i in range(63):
            image.add_new_level(f"l{i}", shape=(3, 2, 2))
        with pytest.raises(ArgumentError, match="64 levels, which is the most"):
            image.add_new_level("one more", shape=(3, 2, 2))
        assert "one more" not in image
    assert MultiscaleImage.open(uri).level_count == 64


def test_metadata_stays_within_what_can_be_read(uri):
    with MultiscaleImage.open(uri, "w") as image:
        image.metadata["k"] = "x" * 4_000_000
        with pytest.raises(ArgumentError, match="Store large data as an array"):
            image.metadata["l"] = "x" * 4_000_000
    assert len(MultiscaleImage.open(uri).metadata["k"]) == 4_000_000


# Where levels are stored


@pytest.mark.parametrize(
    "level_uri", ["__meta/x", "__group", "level0/__schema/x", "", ".", "./", "x/.."]
)
def test_levels_are_not_stored_where_they_do_harm(uri, level_uri):
    before = tree(uri)
    image = MultiscaleImage.open(uri, "w")
    with pytest.raises(ArgumentError, match=r"Cannot store|own folder|non-empty"):
        image.add_new_level("new", uri=level_uri, shape=(3, 4, 5))
    assert list(image.levels()) == ["level0"]
    image.close()
    assert tree(uri) == before


@pytest.mark.parametrize("level_uri", [5, b"x", ("a",)], ids=str)
def test_level_addresses_are_text(tmp_uri, level_uri):
    with pytest.raises(ArgumentTypeError, match="uri must be a str"):
        make(tmp_uri, level_uri=level_uri)
    with MultiscaleImage.open(make(tmp_uri), "w") as image:
        with pytest.raises(ArgumentTypeError, match="uri must be a str"):
            image.add_new_level("new", uri=level_uri, shape=(3, 4, 5))
        assert list(image) == ["level0"]


PLACES = [
    "a/b/c/",
    "./a",
    "x y/é#?%41",
    "../beside",
    "{root}/abs olute",
    "file://{root}/f",
]


@pytest.mark.parametrize("place", PLACES)
def test_levels_are_stored_where_they_are_wanted(tmp_path, place):
    place = place.format(root=tmp_path)
    uri = make(str(tmp_path / "in" / "a.soma"), level_uri=place)
    with MultiscaleImage.open(uri) as image:
        np.testing.assert_array_equal(image["level0"].read(), PIXELS)
        outside = place.startswith(("..", "/", "file:"))
        assert list(image.members_outside()) == ["level0"] * outside
    os.rename(tmp_path / "in", tmp_path / "moved")
    if not place.startswith(".."):
        moved = MultiscaleImage.open(str(tmp_path / "moved" / "a.soma"))
        np.testing.assert_array_equal(moved["level0"].read(), PIXELS)
        moved.close()


def test_level_outside_is_removed_when_the_image_cannot_be_made(tmp_path):
    (tmp_path / "a.soma").mkdir()
    (tmp_path / "a.soma" / "__meta").write_text("in the way")
    with pytest.raises(AlreadyExistsError, match="__meta"):
        make(str(tmp_path / "a.soma"), level_uri=str(tmp_path / "x" / "y"))
    assert tree(tmp_path) == ["a.soma", "a.soma/__meta"]


# Odd places of images


@pytest.mark.parametrize(
    "name", ["a b%20é#?.soma", "n" * 250, "%41", "-", "a\\b", "a:b", "'", '"', "*"]
)
def test_names_are_taken_literally(tmp_path, name):
    uri = make(str(tmp_path / name))
    assert os.listdir(tmp_path) == [name]
    for address in (uri, uri + "/", f"file://{uri}", f"file://{uri}/"):
        with MultiscaleImage.open(address) as image:
            np.testing.assert_array_equal(image["level0"].read(), PIXELS)


def test_link_to_an_empty_folder_is_filled(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    uri = make(str(tmp_path / "link"))
    assert os.path.islink(uri)
    with MultiscaleImage.open(str(tmp_path / "real")) as image:
        np.testing.assert_array_equal(image["level0"].read(), PIXELS)


def test_image_behind_a_link_is_changed_in_place(uri, tmp_path):
    (tmp_path / "link").symlink_to(uri)
    with MultiscaleImage.open(str(tmp_path / "link"), "w") as image:
        image.add_new_level("level1", shape=(3, 4, 5))
        assert image.members_outside() == {}
    assert list(MultiscaleImage.open(uri)) == ["level0", "level1"]


def test_folder_of_a_failed_creation_is_free_again(tmp_path, monkeypatch):
    target = str(tmp_path / "x" / "y" / "a.soma")
    real = os.rename
    for fails_at in range(1, 6):
        calls = []

        def failing(source, destination, calls=calls, fails_at=fails_at):
            calls.append(destination)
            if len(calls) == fails_at:
                raise OSError(28, "No space left on device")
            real(source, destination)

        monkeypatch.setattr(os, "rename", failing)
        try:
            MultiscaleImage.create(target, type="uint8", level_shape=SHAPE).close()
        except SOMAError as error:
            assert "disk is full" in str(error)  # noqa: PT017 - the last ones succeed
            assert os.listdir(tmp_path) == []
        else:
            break
    else:
        pytest.fail("creating an image took more renames than expected")
    monkeypatch.undo()
    assert MultiscaleImage.open(target).level_count == 1


def test_reader_without_permission_to_write_is_told_so():
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)  # open to other users, unlike pytest's folders
        uri = make(f"{folder}/a.soma")
        os.chmod(uri, 0o555)
        check_reading_only(uri)
        os.chmod(uri, 0o755)


def check_reading_only(uri):
    script = (
        "import os, sys\n"
        "from napari_msimage import MultiscaleImage, SOMAError\n"
        "if os.geteuid() == 0: os.setgid(65534), os.setuid(65534)\n"
        "image = MultiscaleImage.open(sys.argv[1])\n"
        "print(image['level0'].read().sum())\n"
        "image = image.reopen('w')\n"
        "image.metadata['k'] = 1\n"
        "try: image.close()\n"
        "except SOMAError as error: print(type(error).__name__, image.closed)\n"
        "os._exit(0)\n"
    )
    command = [sys.executable, "-c", script, uri]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = [str(PIXELS.sum(dtype="u8")), "AccessError False"]
    assert (done.stdout.splitlines(), done.stderr) == (lines, "")


# Threads


def test_threads_read_one_level(uri):
    image = MultiscaleImage.open(uri)
    wrong = []

    def read():
        for i in range(60):
            y = i % 9
            if not np.array_equal(image["level0"].read((None, y))[:, 0], PIXELS[:, y]):
                wrong.append(y)
            data = image.read_spatial_region(0, (2, 3, 4, 5)).data
            if not np.array_equal(data, PIXELS[:, 3:6, 2:5]):
                wrong.append("region")

    run_threads(read, 8)
    assert wrong == []
    image.close()


@pytest.mark.parametrize("n_rounds", [1, 3])
def test_threads_write_blocks_through_one_handle(tmp_path, n_rounds):
    config = {"dims": {f"soma_dim_{i}": {"tile": 8} for i in range(2)}}
    uri = str(tmp_path / "a")
    array = DenseNDArray.create(
        uri, type="uint16", shape=(40, 32), platform_config=config
    )
    rows = iter(range(5))
    failed = []

    def write():
        row = 8 * next(rows)
        try:
            for value in range(n_rounds):  # later rounds win over earlier ones
                for column in range(0, 32, 8):
                    coords = (slice(row, row + 7), slice(column, column + 7))
                    block = np.full((8, 8), 1000 * value + row + column, np.uint16)
                    array.write(coords, block)
        except SOMAError as error:
            failed.append(error)

    run_threads(write, 5)
    array.close()
    assert failed == []
    y, x = np.mgrid[:40, :32] // 8 * 8
    expected = 1000 * (n_rounds - 1) + y + x
    np.testing.assert_array_equal(DenseNDArray.open(uri).read(), expected)


def test_closing_beside_readers_ends_in_pixels_or_in_an_error(uri):
    image = MultiscaleImage.open(uri)
    outcomes, started = set(), threading.Barrier(5)

    def read():
        started.wait()
        try:
            for _ in range(200):
                image["level0"].read()
        except (ModeError, SOMAError) as error:
            outcomes.add(isinstance(error, SOMAError))

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    started.wait()
    image.close()
    for thread in threads:
        thread.join(60)
    assert outcomes <= {True}
    assert image.closed


def run_threads(work, n):
    threads = [threading.Thread(target=work) for _ in range(n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)


# Crashes


class Killed(BaseException):
    """Stands for SIGKILL: nothing runs afterwards, no cleaning up either."""


MUTATORS = ["mkdir", "link", "rename", "rmdir", "unlink"]


@pytest.fixture
def kill(monkeypatch):
    """Return a function that lets the n-th change of the file system be the last."""
    from napari_msimage.storage import _group, _staging

    def arm(at):
        count = [0]

        def mutating(real):
            def call(*args, **kwargs):
                count[0] += 1
                if count[0] >= at:
                    raise Killed
                return real(*args, **kwargs)

            return call

        for name in MUTATORS:
            monkeypatch.setattr(os, name, mutating(getattr(os, name)))
        for module in (_group, _staging):
            monkeypatch.setattr(
                module.shutil, "rmtree", mutating(lambda *_, **__: None)
            )
            monkeypatch.setattr(module.tiledb, "VFS", mutating(module.tiledb.VFS))
        for name in ("Group", "open"):
            tiledb = _group.tiledb
            monkeypatch.setattr(tiledb, name, mutating_tiledb(tiledb, name, mutating))

    def mutating_tiledb(tiledb, name, mutating):
        real = getattr(tiledb, name)
        if name == "open":
            return lambda *a, **k: (
                mutating(real)(*a, **k) if "w" in a else real(*a, **k)
            )

        class Group(real):
            def __init__(self, uri, mode="r", *args):
                super().__init__(uri, mode, *args)
                self.counted = mode == "w"

            def __exit__(self, *error):
                if self.counted:
                    mutating(super().__exit__)(*error)
                else:
                    super().__exit__(*error)

        return Group

    yield arm
    monkeypatch.undo()


def add_level(uri):
    with MultiscaleImage.open(uri, "w") as image:
        image.add_new_level("level1", shape=(3, 4, 5)).write((), PIXELS[:, :4, :5])


def delete_level(uri):
    with MultiscaleImage.open(uri, "d") as image:
        del image["old"]


def delete_and_add(uri):
    with MultiscaleImage.open(uri, "w") as image:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            del image["old"]
        image.add_new_level("level1", shape=(3, 4, 5))


OPERATIONS = {
    add_level: ["level0", "level1", "old"],
    delete_level: ["level0"],
    delete_and_add: ["level0", "level1"],
}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore:Skipped what is left")
@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda f: f.__name__)
def test_killed_session_leaves_the_old_or_the_new_image(
    tmp_path, kill, monkeypatch, operation
):
    for at in range(1, 60):
        uri = make(str(tmp_path / f"{at}.soma"))
        with MultiscaleImage.open(uri, "w") as image:
            image.add_new_level("old", shape=(3, 2, 2))
        kill(at)
        try:
            operation(uri)
        except Killed:
            done = False
        else:
            done = True
        gc.collect()
        monkeypatch.undo()
        with MultiscaleImage.open(uri) as image:
            np.testing.assert_array_equal(image["level0"].read(), PIXELS)
            found = set(image)
            assert found == set(image.levels())
            for key in found:
                assert image[key].shape == image.level_shape(key)
        assert {"level0"} <= found <= {"level0", "level1", "old"}
        if done:
            break
        retry(uri)
        with MultiscaleImage.open(uri) as image:
            assert sorted(image) == ["level0", "level1"]
    else:
        pytest.fail("the operation changes the file system more often than expected")
    assert sorted(found) == OPERATIONS[operation]
    assert at > 3


def retry(uri):
    """Do what is left to do, as a user would after the crash."""
    with MultiscaleImage.open(uri, "w") as image, warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        if "old" in image:
            del image["old"]
        if "level1" not in image:
            image.add_new_level("level1", shape=(3, 4, 5))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_killed_creation_leaves_nothing_at_the_place(tmp_path, kill, monkeypatch):
    for at in range(1, 60):
        uri = str(tmp_path / str(at) / "a.soma")
        kill(at)
        try:
            make(uri)
        except Killed:
            done = False
        else:
            done = True
        gc.collect()
        monkeypatch.undo()
        if os.path.exists(uri):
            assert list(MultiscaleImage.open(uri)) == ["level0"]
        else:
            make(uri)
        folder = os.listdir(os.path.dirname(uri))
        assert [name for name in folder if STAGING_MARK not in name] == ["a.soma"]
        if done:
            break
    else:
        pytest.fail("the creation changes the file system more often than expected")
    assert at > 3


# Lazy levels


def test_lazy_level_of_a_reader_shows_what_the_reader_shows(uri):
    image = MultiscaleImage.open(uri)
    time.sleep(0.005)  # a writer of the same millisecond would be seen
    with MultiscaleImage.open(uri, "w") as writer:
        writer["level0"].write((), PIXELS[:, ::-1])
    lazy = image.level_array(0)
    image.close()
    np.testing.assert_array_equal(lazy, PIXELS)


def test_lazy_level_of_a_writer_shows_what_was_written(uri):
    with MultiscaleImage.open(uri, "w") as image:
        image["level0"].write((), PIXELS[:, ::-1])
        image["level0"].write((), PIXELS[:, :, ::-1])
        image._state.clock.settle()  # timestamps run ahead of a fast test
        np.testing.assert_array_equal(image.level_array(0), PIXELS[:, :, ::-1])


# What does not fit


def test_array_that_shrank_below_the_metadata_is_refused_once_asked(uri):
    with MultiscaleImage.open(uri, "w") as image:
        image.metadata["soma_level_level0"] = "[3, 10, 11]"
    image = MultiscaleImage.open(uri)
    with pytest.raises(FormatError, match=r"shape \(3, 9, 11\), but"):
        image["level0"]
    with pytest.raises(FormatError, match=r"shape \(3, 9, 11\), but"):
        image.read_spatial_region(0)
    with pytest.raises(FormatError, match=r"shape \(3, 9, 11\), but"):
        image.level_array(0)
    assert image.level_shape(0) == (3, 10, 11)
    image.close()


def test_resized_array_is_read_with_a_warning_for_the_caller(uri):
    with MultiscaleImage.open(uri, "w") as image:
        image["level0"].resize((3, 10, 12))
    with MultiscaleImage.open(uri) as image:
        with pytest.warns(StoreWarning, match="was resized to") as caught:
            assert image["level0"].shape == (3, 10, 12)
        assert [warning.filename for warning in caught] == [__file__]
