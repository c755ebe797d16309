"""New levels: checked first, made aside, and added all together or not at all."""

from __future__ import annotations

import builtins
import contextlib
import errno
import gc
import hashlib
import itertools
import json
import os
import shutil
import subprocess
import sys
import textwrap
import threading
import time
import uuid
from types import SimpleNamespace

import numpy as np
import pytest
import tiledb

from napari_msimage.errors import (
    AccessError,
    AlreadyExistsError,
    ArgumentError,
    ArgumentTypeError,
    BusyError,
    DoesNotExistError,
    FormatError,
    LevelKeyError,
    ModeError,
    SOMAError,
    StorageError,
)
from napari_msimage.storage import (
    DenseNDArray,
    LevelSpec,
    MultiscaleImage,
    SOMATileDBContext,
    stage_levels,
    staging_name,
)
from napari_msimage.storage._image_lock import LOCK_NAME
from napari_msimage.storage._level_journal import Journal
from napari_msimage.storage._staged_array import _first_missing
from napari_msimage.storage._staging import STAGING_MARK, host_hash

CONTEXT = SOMATileDBContext()
BASE = (3, 97, 130)
SPECS = [LevelSpec("half", (3, 49, 65)), LevelSpec("a b", (3, 25, 33))]


def pixels(shape, seed=0):
    return np.random.default_rng(seed).integers(1, 255, shape, dtype=np.uint8)


def make_image(uri):
    with MultiscaleImage.create(
        uri, type="uint8", level_shape=BASE, context=CONTEXT
    ) as image:
        image["level0"].write((), pixels(BASE))
    return uri


@pytest.fixture(params=["local", "memory"])
def uri(request, tmp_path):
    """An image with one level."""
    if request.param == "local":
        return make_image(str(tmp_path / "tissue.soma"))
    return make_image(f"mem://{uuid.uuid4().hex}/tissue.soma")


@pytest.fixture
def path(tmp_path):
    """A local image with one level."""
    make_image(str(tmp_path / "tissue.soma"))
    return tmp_path / "tissue.soma"


def stage(uri, specs=SPECS, **options):
    return stage_levels(str(uri), specs, context=CONTEXT, **options)


def write(staged, seed=1):
    for address in staged.uris.values():
        with DenseNDArray.open(
            address, "w", tiledb_timestamp=staged.timestamp_ms, context=CONTEXT
        ) as array:
            array.write((), pixels(array.shape, seed))


def add(uri, specs=SPECS, seed=1, **options):
    with stage(uri, specs, **options) as staged:
        write(staged, seed)
        staged.register()


def read(uri):
    with MultiscaleImage.open(str(uri), context=CONTEXT) as image:
        return {key: image[key].read() for key in image.levels()}


def assert_levels(uri, **seeds):
    """Compare all levels with what was written: key, shape and seed of the pixels."""
    found = read(uri)
    assert set(found) == set(seeds)
    for key, (shape, seed) in seeds.items():
        np.testing.assert_array_equal(found[key], pixels(shape, seed), key)


BEFORE = {"level0": (BASE, 0)}
AFTER = {**BEFORE, "half": ((3, 49, 65), 1), "a b": ((3, 25, 33), 1)}


def tree(folder):
    """Every file below a folder with its content; the lock's says who, only."""
    return {
        str(one.relative_to(folder)): (
            hashlib.sha256(one.read_bytes()).hexdigest() if one.is_file() else ""
        )
        for one in sorted(folder.rglob("*"))
        if one.name != LOCK_NAME
    }


def names(path):
    return sorted(one.name for one in path.iterdir())


# Adding -------------------------------------------------------------------------


def test_levels_are_added(uri):
    with stage(uri) as staged:
        assert list(staged.uris) == ["half", "a b"]
        write(staged)
        assert_levels(uri, **BEFORE)
        staged.register()
        assert_levels(uri, **AFTER)
        with MultiscaleImage.open(uri, context=CONTEXT) as image:
            assert dict(staged.uris) == {
                key: image._state.members[key].uri.removeprefix("file://")
                for key in ("half", "a b")
            }
    assert_levels(uri, **AFTER)
    assert staged.is_registered


def test_nothing_but_the_arrays_is_left_in_the_folder(path):
    add(path)
    expected = ["__group", "__meta", "__tiledb_group.tdb", "a%20b", "half", "level0"]
    assert names(path) == expected


def test_arrays_lie_in_one_folder_until_then(path):
    with stage(path, task="testing") as staged:
        (folder,) = {os.path.dirname(address) for address in staged.uris.values()}
        assert os.path.dirname(folder) == str(path)
        assert os.path.basename(folder).startswith(
            f"{STAGING_MARK}{host_hash()}_{os.getpid()}_"
        )
        assert '"task": "testing"' in (path / LOCK_NAME).read_text()


def test_upstream_finds_one_member_and_one_entry_per_level(path):
    add(path)
    with tiledb.Group(str(path)) as group:
        assert sorted(m.name for m in group) == ["a b", "half", "level0"]
        assert json.loads(group.meta["soma_level_half"]) == [3, 49, 65]
        assert all(group.is_relative(m.name) for m in group)
    assert len(list((path / "__group").iterdir())) == 2


def test_layout_is_as_asked_for(uri):
    config = {"dims": {"soma_dim_1": {"tile": 7}}}
    specs = [
        LevelSpec("a", (3, 20, 30), (1, 16, 24)),
        LevelSpec("b", (3, 20, 30), (1, 16, 24), config),
        LevelSpec("c", (3, 20, 30)),
    ]
    add(uri, specs)
    with MultiscaleImage.open(uri, context=CONTEXT) as image:
        assert image["a"].schema.tile_extents == (1, 16, 24)
        assert image["b"].schema.tile_extents == (1, 7, 24)
        assert image["c"].schema.tile_extents == (1, 20, 30)


def test_folder_of_a_deleted_level_keeps_its_history(path):
    add(path)
    with MultiscaleImage.open(str(path), "d") as image:
        del image["half"]
    before = tree(path / "half")
    add(path, SPECS[:1], seed=5)
    assert tree(path / "half") == before
    assert "half,2" in names(path)
    assert_levels(path, **{**AFTER, "half": ((3, 49, 65), 5)})


def test_several_processes_may_write(path):
    code = """
        import sys
        import numpy as np
        from napari_msimage.storage import DenseNDArray
        address, stamp, first = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
        with DenseNDArray.open(address, "w", tiledb_timestamp=stamp) as array:
            block = np.full((3, 10, 8), 5, "u1")
            array.write([slice(None), slice(first, first + 9)], block)
    """
    with stage(path, [LevelSpec("x", (3, 20, 8), (1, 10, 8))]) as staged:
        address, stamp = staged.uris["x"], str(staged.timestamp_ms)
        workers = [
            subprocess.Popen(
                [sys.executable, "-c", textwrap.dedent(code), address, stamp, first]
            )
            for first in ("0", "10")
        ]
        assert [worker.wait() for worker in workers] == [0, 0]
        staged.register()
    assert (read(path)["x"] == 5).all()


# Not adding ---------------------------------------------------------------------


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, GeneratorExit])
def test_an_exception_leaves_the_image_as_it_was(uri, tmp_path, error):
    def work():
        with stage(uri) as staged:
            write(staged)
            raise error("stop")

    before = tree(tmp_path)
    with pytest.raises(error, match="stop"):
        work()
    assert tree(tmp_path) == before
    assert not (tmp_path / "tissue.soma" / LOCK_NAME).exists()
    assert_levels(uri, **BEFORE)
    add(uri)
    assert_levels(uri, **AFTER)


def test_leaving_without_registering_too(path):
    before = tree(path)
    with stage(path) as staged:
        write(staged)
    assert tree(path) == before
    with pytest.raises(ModeError, match=r"'half', 'a b' .* block .* has ended"):
        staged.register()


def test_a_closed_generator_too(path):
    def engine():
        with stage(path) as staged:
            yield staged
            staged.register()

    before = tree(path)
    work = engine()
    write(next(work))
    work.close()
    assert tree(path) == before
    work = engine()
    next(work)
    del work
    gc.collect()
    assert tree(path) == before
    add(path)


def test_an_exception_after_registering_keeps_the_levels(uri):
    def work():
        with stage(uri) as staged:
            write(staged)
            staged.register()
            raise ValueError("late")

    with pytest.raises(ValueError, match="late"):
        work()
    assert_levels(uri, **AFTER)


def test_registering_twice_is_refused(uri):
    with stage(uri) as staged:
        write(staged)
        staged.register()
        with pytest.raises(ModeError, match="done already"):
            staged.register()
    assert_levels(uri, **AFTER)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork there")
@pytest.mark.filterwarnings("ignore:TileDB is a multithreading library")
def test_forked_child_does_not_clean_up(path):
    with contextlib.ExitStack() as stack:
        staged = stack.enter_context(stage(path))
        write(staged)
        child = os.fork()
        if not child:
            code = 1
            with contextlib.suppress(BaseException):
                try:
                    staged.register()
                except ModeError:
                    stack.close()
                    code = 0
            os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        with pytest.raises(BusyError, match="this program itself"), stage(path):
            pass
        staged.register()
    assert_levels(path, **AFTER)


# Checks before ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("specs", "error", "message"),
    [
        ([], ArgumentError, "one or more levels"),
        ([SPECS[0], SPECS[0]], ArgumentError, "different keys"),
        ("half", ArgumentTypeError, "sequence of LevelSpec"),
        ([("half", (3, 5, 5))], ArgumentTypeError, "sequence of LevelSpec"),
        ([LevelSpec("__x", (3, 5, 5))], ArgumentError, "Cannot use '__x'"),
        ([LevelSpec(5, (3, 5, 5))], ArgumentTypeError, "must be a str"),
        ([LevelSpec("x", (3, 0, 5))], ArgumentError, "'x' sizes must be"),
        ([LevelSpec("x", "355")], ArgumentTypeError, "whole numbers"),
        ([LevelSpec("x", (5, 5))], ArgumentError, "has 2 sizes"),
        ([LevelSpec("x", (4, 5, 5))], ArgumentError, "would have 4 channels"),
        ([LevelSpec("x", (3, 5, 5), (1, 5))], ArgumentError, "2 entries"),
        ([LevelSpec("x", (3, 5, 5), (1, 0, 5))], ArgumentError, "extent of axis 1"),
        ([LevelSpec("x", (3, 5, 5), 5)], ArgumentTypeError, "sequence of ints"),
        ([LevelSpec("x", (3, 5, 5), None, 7)], ArgumentTypeError, "platform_config"),
        ([LevelSpec("level0", (3, 5, 5))], LevelKeyError, "already has a level"),
        ([LevelSpec(f"l{i}", (3, 5, 5)) for i in range(64)], ArgumentError, "64 lev"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_said_before_anything_is_made(
    uri, tmp_path, specs, error, message
):
    before = tree(tmp_path)
    with pytest.raises(error, match=message), stage(uri, specs):
        pass
    assert tree(tmp_path) == before
    assert not (tmp_path / "tissue.soma" / LOCK_NAME).exists()


def test_what_is_no_image_is_left_alone(path, tmp_path):
    before = tree(tmp_path)
    for place, error, message in (
        (tmp_path / "none", DoesNotExistError, "Nothing is stored"),
        (tmp_path, DoesNotExistError, "not a TileDB store"),
        (path / "level0", DoesNotExistError, "TileDB array, not an image"),
    ):
        with pytest.raises(error, match=message), stage(place):
            pass
    assert tree(tmp_path) == before
    other = str(tmp_path / "group")
    tiledb.Group.create(other)
    with pytest.raises(FormatError, match="does not say what it is"), stage(other):
        pass
    with (
        pytest.raises(ArgumentError, match=r"timestamp 5; use context\.replace"),
        stage_levels(str(path), SPECS, context=CONTEXT.replace(timestamp=5)),
    ):
        pass


def test_too_little_space_is_said_before_anything_is_made(path, monkeypatch):
    before = tree(path)
    usage = SimpleNamespace(free=2**13)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _path: usage)
        message = r"space for .*tissue\.soma.*: up to 0\.0 MiB .* 0\.0 MiB are free in"
        with pytest.raises(StorageError, match=message), stage(path):
            pass
    assert tree(path) == before
    add(path)


@pytest.mark.parametrize("refused", ["open", "mkdir"])
def test_read_only_image(path, monkeypatch, refused):
    before = tree(path)
    real = getattr(os, refused)

    def refuse(target, *args, **kwargs):
        if str(path) in str(target) and (refused == "mkdir" or args[0] & os.O_CREAT):
            raise PermissionError(errno.EACCES, "Permission denied", target)
        return real(target, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(os, refused, refuse)
        with (
            pytest.raises(AccessError, match=r"tissue\.soma.*[Pp]ermission"),
            stage(path),
        ):
            pass
    assert tree(path) == before
    assert LOCK_NAME not in names(path)


# Checks at the end --------------------------------------------------------------


def written(address, pixels, start=(0, 0, 0), stamp=None):
    """Write a block with plain TileDB."""
    box = tuple(slice(a, a + n) for a, n in zip(start, pixels.shape, strict=True))
    ctx = CONTEXT.tiledb_ctx(address)
    with tiledb.open(address, "w", timestamp=stamp, ctx=ctx) as array:
        array[box] = pixels


def test_missing_pixels_are_found_wherever_they_are(uri):
    spec = LevelSpec("x", (3, 30, 20), (1, 10, 10))
    blocks = list(itertools.product((0, 1, 2), (0, 10, 20), (0, 10)))
    hole = (1, 10, 10)
    with stage(uri, [spec]) as staged:
        for block in blocks:
            if block != hole:
                written(staged.uris["x"], np.ones((1, 10, 10), "u1"), block)
        message = r"'x' .* incomplete: .* from \(1, 10, 10\) up to \(2, 20, 20\)"
        with pytest.raises(StorageError, match=message):
            staged.register()
        assert_levels(uri, **BEFORE)
        written(staged.uris["x"], np.ones((1, 10, 10), "u1"), hole)
        staged.register()
    assert (read(uri)["x"] == 1).all()


def test_empty_array_is_incomplete(uri):
    with (
        stage(uri, [LevelSpec("x", (3, 1, 1))]) as staged,
        pytest.raises(StorageError, match=r"'x' .* is incomplete"),
    ):
        staged.register()
    assert_levels(uri, **BEFORE)


def test_too_many_fragments(path):
    with stage(path, [LevelSpec("x", (3, 64, 5), (3, 1, 5))]) as staged:
        for row in range(64):
            written(staged.uris["x"], np.ones((3, 1, 5), "u1"), (0, row, 0))
        with pytest.raises(StorageError, match=r"in 64 pieces; at most 63"):
            staged.register()
    assert_levels(path, **BEFORE)


def test_array_that_was_replaced_is_noticed(path):
    with stage(path) as staged:
        write(staged)
        shutil.rmtree(staged.uris["half"])
        with pytest.raises(DoesNotExistError, match=r"'half' .* is gone"):
            staged.register()
        DenseNDArray.create(staged.uris["half"], type="uint8", shape=(3, 4, 5)).close()
        with pytest.raises(StorageError, match=r"'half' .*\(3, 4, 5\).*; expected"):
            staged.register()
    assert_levels(path, **BEFORE)


def test_what_dead_workers_left_in_the_array_is_removed(path):
    with stage(path) as staged:
        write(staged)
        dead = f"{staged.uris['half']}/__fragments/__1_1_{uuid.uuid4().hex}_22"
        os.makedirs(f"{dead}/more")
        staged.register()
    assert len(list((path / "half" / "__fragments").iterdir())) == 1


@pytest.mark.parametrize("seed", range(20))
def test_missing_part_is_found_like_in_an_array_of_flags(seed):
    rng = np.random.default_rng(seed)
    shape = tuple(int(n) for n in rng.integers(1, 6, 3))
    flags, boxes = np.zeros(shape, bool), []
    for _ in range(rng.integers(1, 12)):
        start = [int(rng.integers(0, n)) for n in shape]
        stop = [int(rng.integers(a, n)) + 1 for a, n in zip(start, shape, strict=True)]
        boxes.append(tuple(zip(start, stop, strict=True)))
        flags[tuple(slice(a, b) for a, b in boxes[-1])] = True
    missing = _first_missing(shape, boxes)
    assert (missing is None) == flags.all()
    if missing is not None:
        assert not flags[tuple(slice(a, b) for a, b in missing)].any()


# Replacing ----------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(3, 49, 65), (3, 40, 70), (3, 30, 30)], ids=str)
def test_level_is_replaced(uri, tmp_path, shape):
    add(uri)
    add(uri, [LevelSpec("half", shape)], 7, replace=True)
    assert_levels(uri, **{**AFTER, "half": (shape, 7)})
    add(uri, [LevelSpec("half", shape), LevelSpec("new", (3, 4, 4))], 8, replace=True)
    assert_levels(uri, **{**AFTER, "half": (shape, 8), "new": ((3, 4, 4), 8)})
    if (tmp_path / "tissue.soma").exists():
        folders = names(tmp_path / "tissue.soma")[3:]
        assert [name.partition(",")[0] for name in folders] == [
            *("a%20b", "half", "level0", "new")
        ]


def test_every_level_can_be_replaced_at_once(uri):
    specs = [LevelSpec("level0", (2, 50, 60)), LevelSpec("half", (2, 25, 30))]
    add(uri, specs, replace=True)
    assert_levels(uri, level0=((2, 50, 60), 1), half=((2, 25, 30), 1))


def test_array_outside_the_image_is_kept(path, tmp_path):
    outside = str(tmp_path / "elsewhere")
    with MultiscaleImage.open(str(path), "w") as image:
        array = image.add_new_level("half", uri=outside, shape=(3, 49, 65))
        array.write((), pixels((3, 49, 65), 4))
    add(path, replace=True)
    assert_levels(path, **AFTER)
    with DenseNDArray.open(outside) as array:
        np.testing.assert_array_equal(array.read(), pixels((3, 49, 65), 4))


def test_array_that_is_two_levels_is_kept(path):
    add(path)
    with MultiscaleImage.open(str(path), "w") as image:
        image.set("twin", DenseNDArray.open(str(path / "half")))
    add(path, SPECS[:1], 9, replace=True)
    assert_levels(
        path,
        **{**AFTER, "half": ((3, 49, 65), 9), "twin": ((3, 49, 65), 1)},
    )


# Others at the same time --------------------------------------------------------


def test_one_of_two_threads_makes_levels(path):
    barrier, errors = threading.Barrier(2), []

    def work(seed):
        barrier.wait()
        try:
            with stage(path) as staged:
                barrier.wait(20)
                write(staged, seed)
                staged.register()
        except BusyError as err:
            errors.append(err)
            barrier.wait(20)

    threads = [threading.Thread(target=work, args=(1,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(errors) == 1
    assert_levels(path, **AFTER)


def test_another_process_is_busy(path):
    code = f"""
        import sys
        from napari_msimage.storage import LevelSpec, stage_levels
        with stage_levels({str(path)!r}, [LevelSpec("x", (3, 5, 5))], task="a nap"):
            print("ready", flush=True)
            sys.stdin.readline()
    """
    before = tree(path)
    other = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert other.stdout.readline() == "ready\n"
    with (
        pytest.raises(BusyError, match=rf"process {other.pid} .*a nap"),
        stage(path),
    ):
        pass
    other.communicate("\n")
    assert tree(path) == before
    add(path)


def test_level_of_the_same_key_from_elsewhere_stays(uri, tmp_path):
    """Another session, as tiledbsoma's, knows nothing of the lock."""
    with stage(uri) as staged:
        write(staged)
        with MultiscaleImage.open(uri, "w", context=CONTEXT) as image:
            array = image.add_new_level("half", shape=(3, 9, 8))
            array.write((), pixels((3, 9, 8), 6))
        before = tree(tmp_path)
        with pytest.raises(AlreadyExistsError, match="a level 'half' while"):
            staged.register()
        assert tree(tmp_path) == before
    assert_levels(uri, **BEFORE, half=((3, 9, 8), 6))
    add(uri, replace=True)
    assert_levels(uri, **AFTER)


def test_other_session_that_comes_later_gets_the_error(uri):
    image = MultiscaleImage.open(uri, "w", context=CONTEXT)
    image.add_new_level("half", shape=(3, 9, 8)).write((), pixels((3, 9, 8), 6))
    add(uri)
    with pytest.raises(AlreadyExistsError, match="Another session has added"):
        image.close()
    assert_levels(uri, **AFTER)
    with pytest.warns(DeprecationWarning, match="mode 'd'"):
        del image["half"]
    image.close()
    assert_levels(uri, **AFTER)


def test_key_taken_in_the_moment_of_the_commit(path, monkeypatch):
    """Between the last look at the image and the commit: nothing gets mixed."""
    from napari_msimage.storage import _group_state

    real, done = _group_state.commit, []

    def late(address, change, ctx, *args):
        if not done and any(member.name == "half" for member in change.add):
            done.append(True)
            time.sleep(0.01)  # theirs is the later one
            with MultiscaleImage.open(str(path), "w") as image:
                array = image.add_new_level("half", shape=(3, 9, 8))
                array.write((), pixels((3, 9, 8), 6))
        return real(address, change, ctx, *args)

    monkeypatch.setattr(_group_state, "commit", late)
    with stage(path) as staged:
        write(staged)
        with pytest.raises(AlreadyExistsError, match="a level 'half' while"):
            staged.register()
    assert_levels(path, **BEFORE, half=((3, 9, 8), 6))
    assert names(path)[3:] == ["half,2", "level0"]


def test_another_level_added_meanwhile_is_kept(uri):
    with stage(uri) as staged:
        write(staged)
        with MultiscaleImage.open(uri, "w", context=CONTEXT) as image:
            image.add_new_level("other", shape=(3, 9, 8)).write((), pixels((3, 9, 8)))
            image.metadata["note"] = "kept"
        staged.register()
    assert_levels(uri, **AFTER, other=((3, 9, 8), 0))
    with MultiscaleImage.open(uri, context=CONTEXT) as image:
        assert image.metadata["note"] == "kept"


@pytest.mark.parametrize("remade", [False, True], ids=["gone", "made again"])
def test_image_removed_meanwhile(path, tmp_path, remade):
    with stage(path) as staged:
        write(staged)
        shutil.rmtree(path)
        if remade:
            make_image(str(path))
        with pytest.raises(DoesNotExistError, match="removed while levels were made"):
            staged.register()
    assert names(tmp_path) == (["tissue.soma"] if remade else [])
    if remade:
        assert_levels(path, **BEFORE)


def test_image_removed_while_pixels_are_written_leaves_no_skeleton(path, tmp_path):
    with stage(path) as staged:
        address = staged.uris["half"]
        with DenseNDArray.open(address, "w", context=CONTEXT) as array:
            array.write((slice(0, 0),), pixels((1, 49, 65)))
            shutil.rmtree(path)
            with contextlib.suppress(SOMAError):
                array.write((slice(1, 1),), pixels((1, 49, 65)))
        os.makedirs(f"{address}/__fragments", exist_ok=True)  # as TileDB may do
        with pytest.raises(DoesNotExistError, match="removed while levels were made"):
            staged.register()
    assert names(tmp_path) == []


def test_image_moved_meanwhile_is_fine_at_its_new_place(path, tmp_path):
    moved = tmp_path / "moved.soma"
    with stage(path) as staged:
        write(staged)
        os.rename(path, moved)
        with pytest.raises(DoesNotExistError, match="was removed while"):
            staged.register()
    assert_levels(moved, **BEFORE)
    add(moved)
    assert_levels(moved, **AFTER)
    assert names(moved)[:3] == ["__group", "__meta", "__tiledb_group.tdb"]


# What others left ---------------------------------------------------------------


def test_only_abandoned_folders_and_those_of_dead_owners_are_removed(path):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    abandoned = f"{STAGING_MARK}{host_hash()}_{dead.pid}_ab"
    noted = staging_name()  # whose process seems to live: its number was used again
    kept = [staging_name(), f"{STAGING_MARK}0badcafe_7_ab", "mine", "half"]
    for name in (abandoned, noted, *kept):
        (path / name / "x").mkdir(parents=True)
    (path / LOCK_NAME).write_text(json.dumps({"staging": noted, "levels": []}))
    with stage(path):
        found = set(names(path))
        assert {abandoned, noted} & found == set()
        assert set(kept) < found


@pytest.mark.parametrize(
    "change",
    [
        {"staging": "mine"},
        {"staging": f"{STAGING_MARK}x/../../outside"},
        {"levels": [{"directory": "../outside"}]},
        {"levels": [{"directory": "level0"}]},
        {"levels": [{"directory": "__meta", "mark": "x"}]},
        {"levels": [{"old": {"folder": "../outside"}}]},
        {"levels": [{"old": {"folder": "a/../../outside"}}]},
        {"levels": [{"old": {"folder": "/etc"}}]},
        {"levels": 7},
        {"levels": [[]]},
    ],
    ids=str,
)
def test_journal_from_elsewhere_can_name_nothing_else(path, tmp_path, change):
    (tmp_path / "outside").mkdir()
    (path / "mine").mkdir()
    old = {"entry": None, "address": None, "is_relative": True, "is_array": True}
    old |= {"folder": None, "mark": None}
    good = {"key": "half", "directory": "half", "mark": "m", "shape": [3, 5, 5]}
    record = {"staging": staging_name(), "levels": [{**good, "old": old}]}
    assert Journal.from_record(record) is not None
    record |= change
    if isinstance(record["levels"], list) and isinstance(record["levels"][0], dict):
        level = {**good, **record["levels"][0]}
        record["levels"] = [{**level, "old": {**old, **level.get("old", {})}}]
    (path / LOCK_NAME).write_text(json.dumps(record))
    before = tree(tmp_path)
    with stage(path):
        pass
    assert tree(tmp_path) == before
    assert_levels(path, **BEFORE)


# Failures at every step ---------------------------------------------------------

CREATING = ["os.mkdir", "os.open", "os.write", "os.link", "builtins.open"]
ALL = [*CREATING, "os.rename", "os.remove", "os.listdir", "os.ftruncate"]
PLACES = {"os": os, "builtins": builtins}


class Faults:
    """Lets Python's calls of the file system fail: the n-th, or all from there on."""

    def __init__(self, patch, error, functions, at, lasting):
        self.calls = itertools.count(1)
        self.failed = False
        for name in functions:
            place, _, function = name.partition(".")
            real = getattr(PLACES[place], function)
            patch.setattr(PLACES[place], function, self._failing(real))
        self._error, self._at, self._lasting = error, at, lasting

    def _failing(self, real):
        def call(*args, **kwargs):
            if real.__name__ == "open" and not self._is_writing(*args):
                return real(*args, **kwargs)
            number = next(self.calls)
            if number == self._at or (self._lasting and number > self._at):
                self.failed = True
                raise self._error
            return real(*args, **kwargs)

        return call

    @staticmethod
    def _is_writing(_path, mode="r", *_):
        if isinstance(mode, str):
            return "r" not in mode
        return bool(mode & (os.O_CREAT | os.O_RDWR | os.O_WRONLY))


KINDS = {
    "full disk from then on": (OSError(errno.ENOSPC, "full"), CREATING, True),
    "one error": (OSError(errno.EIO, "broken"), ALL, False),
    "interrupt": (KeyboardInterrupt("stop"), ALL, False),
}
JOBS = {
    "add": (SPECS, False),
    "replace same": ([SPECS[0], LevelSpec("x", (3, 9, 9))], True),
    "replace other": ([LevelSpec("half", (3, 30, 70)), SPECS[1]], True),
}


@pytest.mark.parametrize("job", JOBS)
@pytest.mark.parametrize("kind", KINDS)
def test_registering_that_fails_anywhere_can_be_tried_again(tmp_path, job, kind):
    specs, replace = JOBS[job]
    error, functions, lasting = KINDS[kind]
    expected = {**BEFORE, **({k: AFTER[k] for k in ("half", "a b")} if replace else {})}
    wanted = expected | {spec.key: (spec.shape, 2) for spec in specs}
    point, n_failed = 1, 0
    for number in itertools.count():
        path = tmp_path / str(number)
        make_image(str(path))
        if replace:
            add(path)
        with stage(path, specs, replace=replace) as staged:
            write(staged, 2)
            before = tree(path)
            while not staged.is_registered:
                with pytest.MonkeyPatch.context() as patch:
                    faults = Faults(patch, error, functions, point, lasting)
                    with contextlib.suppress(SOMAError, KeyboardInterrupt):
                        staged.register()
                if not staged.is_registered:
                    n_failed += 1
                    assert faults.failed
                    assert tree(path) == before, point
                    assert_levels(path, **expected)
                point += 1
        # either the error was one that does no harm, or all points were tried
        assert_levels(path, **wanted)
        if LOCK_NAME in names(path):  # interrupted while the old array was removed
            with stage(path, [LevelSpec("z", (3, 5, 5))]):
                pass
        assert not [name for name in names(path) if "msimage" in name], point
        if not faults.failed:
            break
    assert n_failed > 8


@pytest.mark.parametrize("kind", KINDS)
def test_making_that_fails_anywhere_leaves_nothing(path, kind):
    error, functions, lasting = KINDS[kind]
    before = tree(path)
    for point in itertools.count(1):
        with pytest.MonkeyPatch.context() as patch:
            faults = Faults(patch, error, functions, point, lasting)
            with contextlib.suppress(SOMAError, KeyboardInterrupt), stage(path):
                pass
        if not faults.failed:
            break
        # what could not be removed at that moment is, by the next run
        with stage(path):
            pass
        assert tree(path) == before, point
        assert LOCK_NAME not in names(path)
    assert point > 3


def test_undoing_that_fails_is_undone_by_the_next_run(path, monkeypatch):
    """The arrays cannot even be moved back."""
    add(path)
    before = tree(path)
    real = os.rename

    def one_way(source, target):
        if "__meta" in target or STAGING_MARK in target:
            raise OSError(errno.EIO, "broken")
        real(source, target)

    specs = [LevelSpec("x", (3, 9, 9)), LevelSpec("half", (3, 49, 65))]
    with stage(path, specs, replace=True) as staged:
        write(staged, 2)
        with monkeypatch.context() as patch:
            patch.setattr(os, "rename", one_way)
            with pytest.raises(StorageError, match="broken"):
                staged.register()
        with pytest.raises(ModeError, match="failed half-way"):
            staged.register()
    assert LOCK_NAME in names(path)
    assert_levels(path, **AFTER)
    with stage(path, [LevelSpec("y", (3, 9, 9))]):
        pass
    assert tree(path) == before


def test_failing_commit_in_memory_is_undone(monkeypatch):
    from napari_msimage.storage import _group

    uri = make_image(f"mem://{uuid.uuid4().hex}/tissue.soma")
    real = _group._write

    def fail_at_metadata(address, change, ctx, stamp):
        if "soma_level_x" in change.set_metadata:
            raise OSError(errno.EIO, "broken")
        real(address, change, ctx, stamp)

    with stage(uri, [LevelSpec("x", (3, 9, 9))]) as staged:
        write(staged, 2)
        with monkeypatch.context() as patch:
            patch.setattr(_group, "_write", fail_at_metadata)
            with pytest.raises(StorageError, match="broken"):
                staged.register()
        assert_levels(uri, **BEFORE)
        staged.register()
    assert_levels(uri, **BEFORE, x=((3, 9, 9), 2))
