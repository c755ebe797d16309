"""create_levels: the right pixels, all or nothing, for any number of threads."""

from __future__ import annotations

import contextlib
import itertools
import math
import os
import shutil
import socket
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_msimage import MultiscaleImage, create_levels, plan_levels
from napari_msimage.engines import Progress, _level_jobs, _level_passes, write_levels
from napari_msimage.engines._level_plan import METHODS
from napari_msimage.errors import (
    AccessError,
    ArgumentError,
    ArgumentTypeError,
    BusyError,
    ClusterError,
    DoesNotExistError,
    ModeError,
    StorageError,
)
from napari_msimage.storage import _box_read

AXES = ("x", "y", "z")


@pytest.fixture
def stream_everything(monkeypatch):
    """Make small images go the way of large ones: bands, blocks, many jobs."""
    monkeypatch.setattr(_level_passes, "MEMORY_BYTES", 0)
    monkeypatch.setattr(_level_passes, "_BAND_BYTES", 2**14)
    monkeypatch.setattr(_level_passes, "_BLOCK_BYTES", 2**14)
    monkeypatch.setattr(_level_passes, "_EDGE_BYTES", 2**12)
    monkeypatch.setattr(_level_passes, "_MIN_JOB_BYTES", 2**12)


def write(uri, pixels, order=None, **kwargs):
    """Write an image with one level; return its address."""
    uri = str(uri)
    order = order or ("soma_channel", "y", "x")
    space = [axis for axis in AXES if axis in order]
    with MultiscaleImage.create(
        uri,
        type=pixels.dtype,
        level_shape=pixels.shape,
        coordinate_space=space,
        data_axis_order=order,
        has_channel_axis="soma_channel" in order,
        **kwargs,
    ) as image:
        image["level0"].write((), pixels)
    return uri


def read(uri):
    """Return the pixels of all levels by key, read without our reader's cache."""
    with MultiscaleImage.open(uri) as image:
        return {key: image[key].read() for key in image.levels()}


def noise(shape, dtype="uint8", seed=0):
    rng = np.random.default_rng(seed)
    dtype = np.dtype(dtype)
    if dtype.kind == "f":
        return rng.normal(0, 100, shape).astype(dtype)
    info = np.iinfo(dtype)
    return rng.integers(info.min, info.max, shape, dtype, endpoint=True)


def exact_mean(pixels, shape):
    """Return area means in exact integer arithmetic: weights times size are whole."""
    sums = pixels.astype(object if pixels.itemsize == 8 else np.int64)
    for axis, (n, m) in enumerate(zip(pixels.shape, shape, strict=True)):
        rows = np.moveaxis(sums, axis, 0)
        # What lies before the edges k n / m of the new pixels, times m.
        before = np.concatenate([rows[:1] * 0, np.cumsum(rows, axis=0)])
        whole, part = np.divmod(np.arange(m + 1) * n, m)
        part = part.reshape((-1,) + (1,) * (rows.ndim - 1))
        edges = before[whole] * m + rows[np.minimum(whole, n - 1)] * part
        sums = np.moveaxis(edges[1:] - edges[:-1], 0, axis)
    area = math.prod(pixels.shape)
    return ((2 * sums + area) // (2 * area)).astype(pixels.dtype)


def listing(folder):
    return sorted(
        os.path.relpath(os.path.join(root, name), folder)
        for root, folders, files in os.walk(folder)
        for name in (*folders, *files)
    )


class TestPixels:
    def test_of_all_levels_are_exact_means_of_the_finest(self, tmp_path):
        pixels = noise((3, 1301, 777))
        uri = write(tmp_path / "a.soma", pixels)

        keys = create_levels(uri)

        found = read(uri)
        assert keys == ("level1", "level2")
        assert list(found) == ["level0", "level1", "level2"]
        for key in keys:
            np.testing.assert_array_equal(
                found[key], exact_mean(pixels, found[key].shape)
            )

    @pytest.mark.parametrize("dtype", ["uint8", "int16", "uint64", "float32"])
    @pytest.mark.parametrize("method", METHODS)
    def test_do_not_depend_on_how_levels_are_cut(
        self, tmp_path, stream_everything, monkeypatch, method, dtype
    ):
        pixels = noise((2, 401, 690), dtype) // 50 * 50
        uri = write(tmp_path / "a.soma", pixels)
        other = write(tmp_path / "b.soma", pixels)
        wish = {"method": method, "n_levels": 3}

        plan = plan_levels(uri, **wish)
        keys = create_levels(uri, plan)
        monkeypatch.undo()
        create_levels(other, plan_levels(other, **wish))

        assert len(keys) == 3
        for key, expected in read(other).items():
            np.testing.assert_array_equal(read(uri)[key], expected)

    @pytest.mark.parametrize(
        ("order", "shape"),
        [
            (("y", "x"), (901, 1203)),
            (("x", "y"), (901, 1203)),
            (("x",), (70001,)),
            (("y", "x", "soma_channel"), (801, 703, 3)),
            (("y", "soma_channel", "x"), (801, 3, 703)),
            (("z", "y", "x"), (21, 300, 413)),
            (("soma_channel", "z", "y", "x"), (2, 19, 210, 333)),
            (("y", "z", "soma_channel", "x"), (150, 13, 2, 333)),
        ],
        ids=lambda value: (
            "".join(a[-1] for a in value) if str in map(type, value) else ""
        ),
    )
    def test_of_any_axis_order(self, tmp_path, stream_everything, order, shape):
        pixels = noise(shape)
        uri = write(tmp_path / "a.soma", pixels, order)

        keys = create_levels(uri, plan_levels(uri, n_levels=3))

        found = read(uri)
        for key in keys:
            np.testing.assert_array_equal(
                found[key], exact_mean(pixels, found[key].shape)
            )

    def test_of_shapes_that_whole_tiles_do_not_fill(self, tmp_path, stream_everything):
        pixels = noise((2, 1450, 1501), "uint16")
        uri = write(tmp_path / "a.soma", pixels)
        shapes = [(2, 1439, 1409), (2, 701, 691), (2, 97, 101)]

        plan = plan_levels(uri, shapes=shapes)
        assert any(
            n % e for n, e in zip(shapes[0], plan.levels[0].tile_extents, strict=False)
        )
        create_levels(uri, plan)

        found = list(read(uri).values())
        for shape, level in zip(shapes, found[1:], strict=True):
            np.testing.assert_array_equal(level, exact_mean(pixels, shape))

    def test_of_tiles_that_channels_share(self, tmp_path, stream_everything):
        pixels = noise((5, 700, 900))
        config = {"dims": {f"soma_dim_{i}": {"tile": 128} for i in range(3)}}
        uri = write(tmp_path / "a.soma", pixels, platform_config=config)
        plan = plan_levels(uri, n_levels=2)
        create_levels(uri, plan)

        found = read(uri)
        for level in plan.levels:
            np.testing.assert_array_equal(
                found[level.key], exact_mean(pixels, level.shape)
            )

    def test_between_levels_come_from_the_finest(self, tmp_path):
        pixels = noise((3, 1000, 800))
        uri = write(tmp_path / "a.soma", pixels)
        with MultiscaleImage.open(uri, "w") as image:
            wrong = np.zeros((3, 125, 100), np.uint8)
            image.add_new_level("lowres", shape=wrong.shape).write((), wrong)

        assert create_levels(uri) == ("level1", "level2")

        found = read(uri)
        assert list(found) == ["level0", "level1", "level2", "lowres"]
        np.testing.assert_array_equal(
            found["level2"], exact_mean(pixels, (3, 250, 200))
        )
        assert not found["lowres"].any()

    def test_of_replaced_levels_are_new(self, tmp_path):
        pixels = noise((3, 1000, 800))
        uri = write(tmp_path / "a.soma", pixels)
        create_levels(uri, plan_levels(uri, method="max"))
        before = listing(uri)

        create_levels(uri, plan_levels(uri, replace=True))

        np.testing.assert_array_equal(
            read(uri)["level1"], exact_mean(pixels, (3, 500, 400))
        )
        names = {name.split(os.sep)[0] for name in listing(uri)}
        assert len(names) == len({name.split(os.sep)[0] for name in before})

    @settings(
        deadline=None,
        max_examples=25,
        suppress_health_check=[
            HealthCheck.function_scoped_fixture,
            HealthCheck.too_slow,
        ],
    )
    @given(data=st.data())
    def test_of_random_images(self, tmp_path, stream_everything, data):
        spatial = data.draw(st.permutations(AXES[: data.draw(st.integers(1, 3))]))
        order = list(spatial)
        if data.draw(st.booleans(), "channel"):
            order.insert(data.draw(st.integers(0, len(order))), "soma_channel")
        most = {1: 20_000, 2: 400, 3: 40}[len(spatial)]
        shape = [data.draw(st.integers(4, most)) for _ in order]
        if "soma_channel" in order:
            shape[order.index("soma_channel")] = data.draw(st.integers(1, 4))
        dtype = data.draw(st.sampled_from(["uint8", "int32", "uint64"]))
        factor = {axis: data.draw(st.sampled_from([1, 2, 3])) for axis in spatial}
        if max(factor.values()) == 1:
            factor[spatial[0]] = 2
        tile = data.draw(st.sampled_from([None, 16, 40]))
        config = {"dims": {f"soma_dim_{i}": {"tile": tile} for i in range(len(order))}}
        uri = str(tmp_path / "a.soma")
        shutil.rmtree(uri, ignore_errors=True)
        pixels = noise(shape, dtype, seed=1)
        write(uri, pixels, order, platform_config=config if tile else None)
        chosen = data.draw(st.sampled_from([None, config])) if tile else None
        plan = plan_levels(uri, factor=factor, max_side=8, platform_config=chosen)

        keys = create_levels(uri, plan)

        found = read(uri)
        for key in keys:
            np.testing.assert_array_equal(
                found[key], exact_mean(pixels, found[key].shape)
            )


class TestThreads:
    def test_one_and_eight_make_the_same_bytes(self, tmp_path, stream_everything):
        pixels = noise((2, 900, 703), "float32")
        pixels[:, 300:400, 100:150] = np.nan
        found = []
        for n_threads in (1, 8):
            uri = write(tmp_path / f"{n_threads}.soma", pixels)
            create_levels(uri, plan_levels(uri, n_threads=n_threads, n_levels=3))
            found.append(read(uri))
        one, eight = found
        assert len(one) == 4
        for key, expected in one.items():
            assert expected.tobytes() == eight[key].tobytes()

    def test_each_tile_of_the_source_is_read_about_once(
        self, tmp_path, stream_everything, monkeypatch
    ):
        pixels = noise((2, 4001, 1207))
        uri = write(tmp_path / "a.soma", pixels)
        plan = plan_levels(uri, n_threads=1, n_levels=2)
        touched = []
        original = _box_read.read_box

        def spy(array, ctx, where, start, stop, out):
            if where.endswith("level0"):
                tiles = [
                    range(a // e, -(-b // e))
                    for a, b, e in zip(start, stop, plan.source_extents, strict=True)
                ]
                touched.extend(itertools.product(*tiles))
            return original(array, ctx, where, start, stop, out)

        monkeypatch.setattr("napari_msimage.storage._array_pool.read_box", spy)
        create_levels(uri, plan)

        n_tiles = 2 * math.ceil(4001 / 512) * math.ceil(1207 / 512)
        assert len(set(touched)) == n_tiles
        assert len(touched) <= 2 * n_tiles


class TestStorage:
    def test_levels_have_few_fragments(self, tmp_path, stream_everything):
        uri = write(tmp_path / "a.soma", noise((3, 2000, 1700)))
        for key in create_levels(uri):
            assert 1 <= len(os.listdir(os.path.join(uri, key, "__fragments"))) < 64

    def test_nothing_else_is_left(self, tmp_path):
        uri = write(tmp_path / "a.soma", noise((3, 1300, 700)))
        before = set(os.listdir(uri))
        keys = create_levels(uri)
        assert set(os.listdir(uri)) == before | set(keys)

    def test_in_memory_images_work_too(self):
        uri = f"mem://levels-{os.getpid()}"
        pixels = noise((3, 1100, 700))
        write(uri, pixels)
        assert create_levels(uri) == ("level1", "level2")
        np.testing.assert_array_equal(
            read(uri)["level1"], exact_mean(pixels, (3, 550, 350))
        )

    def test_tiles_are_as_planned(self, tmp_path):
        uri = write(tmp_path / "a.soma", noise((3, 1303, 700)))
        plan = plan_levels(uri)
        create_levels(uri, plan)
        with MultiscaleImage.open(uri) as image:
            for level in plan.levels:
                assert image[level.key].schema.tile_extents == level.tile_extents
                assert image[level.key].schema.filters == level.filters


class TestOpenImage:
    def test_shows_the_new_levels(self, tmp_path):
        uri = write(tmp_path / "a.soma", noise((3, 900, 700)))
        with MultiscaleImage.open(uri) as image:
            assert create_levels(image) == ("level1",)
            assert list(image) == ["level0", "level1"]
            assert image["level1"].read().any()

    def test_writes_what_is_pending_first(self, tmp_path):
        pixels = noise((3, 900, 700))
        uri = write(tmp_path / "a.soma", pixels)
        with MultiscaleImage.open(uri, "w") as image:
            image.metadata["who"] = "me"
            image.add_new_level("small", shape=(3, 90, 70)).write(
                (), noise((3, 90, 70))
            )
            keys = create_levels(image)
            assert keys == ("level1", "level2")
            assert image.mode == "w"
        with MultiscaleImage.open(uri) as image:
            assert list(image.levels()) == ["level0", "level1", "level2", "small"]
            assert image.metadata["who"] == "me"

    def test_a_closed_one_is_refused(self, tmp_path):
        uri = write(tmp_path / "a.soma", noise((3, 900, 700)))
        image = MultiscaleImage.open(uri)
        image.close()
        with pytest.raises(ModeError, match=r"is closed.*or pass its address"):
            create_levels(image)
        with pytest.raises(ModeError, match="is closed"):
            next(write_levels(image))

    def test_one_of_the_past_is_refused(self, tmp_path):
        uri = write(tmp_path / "a.soma", noise((3, 900, 700)))
        with MultiscaleImage.open(uri) as image:
            then = image.tiledb_timestamp_ms
        time.sleep(0.01)
        create_levels(uri)
        before = listing(uri)
        with (
            MultiscaleImage.open(uri, tiledb_timestamp=then) as image,
            pytest.raises(ArgumentError, match="made of what is stored now"),
        ):
            create_levels(image)
        assert listing(uri) == before


class TestLeftovers:
    """What a run that was killed has left goes away, also if no level is missing."""

    KILLED = """
import os, signal, sys
from napari_msimage.storage import LevelSpec, stage_levels
with stage_levels(sys.argv[1], [LevelSpec("new", (3, 45, 35))]) as staged:
    os.kill(os.getpid(), signal.SIGKILL)
"""

    def kill(self, uri):
        before = listing(uri)
        subprocess.run([sys.executable, "-c", self.KILLED, uri], check=False)
        assert listing(uri) != before

    def test_with_an_empty_plan(self, tmp_path):
        uri = write(tmp_path / "a.soma", noise((3, 90, 70)))
        before = listing(uri)
        self.kill(uri)
        assert create_levels(uri) == ()
        assert listing(uri) == before

    def test_with_an_empty_plan_while_another_program_makes_levels(
        self, tmp_path, slow
    ):
        uri = write(tmp_path / "a.soma", noise((3, 900, 700)))
        self.kill(uri)
        plan = plan_levels(uri, max_side=4000)
        engine = write_levels(uri)
        next(engine)
        during = listing(uri)
        assert create_levels(uri, plan) == ()
        assert listing(uri) == during
        engine.close()

    @pytest.mark.skipif(
        not hasattr(os, "geteuid") or os.geteuid() == 0,
        reason="root may write everywhere, and Windows knows no such permission",
    )
    def test_stay_where_nothing_can_be_written(self, tmp_path):
        uri = write(tmp_path / "a.soma", noise((3, 90, 70)))
        self.kill(uri)
        before = listing(uri)
        os.chmod(uri, 0o500)
        try:
            assert create_levels(uri) == ()
        finally:
            os.chmod(uri, 0o700)
        assert listing(uri) == before


class TestProgress:
    def test_counts_bytes_of_the_source_to_the_end(self, tmp_path):
        pixels = noise((3, 1500, 1100))
        uri = write(tmp_path / "a.soma", pixels)
        told: list[Progress] = []

        create_levels(uri, progress=told.append)

        assert told[0].done == 0
        assert told[-1].done == told[-1].total == pixels.nbytes
        assert all(a.done <= b.done for a, b in itertools.pairwise(told))

    def test_what_it_raises_stops_the_work(self, tmp_path):
        uri = write(tmp_path / "a.soma", noise((3, 1500, 1100)))
        before = listing(uri)

        def fail(progress):
            msg = "no more"
            raise RuntimeError(msg)

        with pytest.raises(RuntimeError, match="no more"):
            create_levels(uri, progress=fail)
        assert listing(uri) == before


@pytest.fixture
def slow(monkeypatch):
    """Make each block take a while; returns the event that ends this."""
    go_on = threading.Event()
    original = _level_jobs._SourceRows.read

    def read(self, box):
        go_on.wait(0.1)
        return original(self, box)

    monkeypatch.setattr(_level_jobs._SourceRows, "read", read)
    return go_on


class TestStopping:
    @pytest.mark.parametrize("n_steps", [1, 2, 5])
    def test_leaves_the_image_as_it_was(
        self, tmp_path, stream_everything, slow, n_steps
    ):
        uri = write(tmp_path / "a.soma", noise((2, 1500, 1300)))
        before = listing(uri)
        engine = write_levels(uri)
        for _ in range(n_steps):
            next(engine)

        start = time.monotonic()
        engine.close()

        assert time.monotonic() - start < 2  # a second, and room for a busy machine
        assert listing(uri) == before
        assert not [t for t in threading.enumerate() if "levels" in t.name]
        slow.set()
        assert create_levels(uri)

    def test_one_failing_job_stops_the_others(
        self, tmp_path, stream_everything, monkeypatch
    ):
        uri = write(tmp_path / "a.soma", noise((2, 1500, 1300)))
        before = listing(uri)
        calls = itertools.count()
        original = _level_jobs._BandSink._write

        def write_band(self, index, band):
            if next(calls) == 3:
                msg = "No space left on device"
                raise StorageError(msg)
            original(self, index, band)

        monkeypatch.setattr(_level_jobs._BandSink, "_write", write_band)
        with pytest.raises(StorageError, match="No space left"):
            create_levels(uri)
        assert listing(uri) == before
        monkeypatch.undo()
        assert create_levels(uri)

    def test_an_image_that_is_removed_meanwhile(
        self, tmp_path, stream_everything, slow
    ):
        uri = write(tmp_path / "a.soma", noise((2, 1500, 1300)))
        engine = write_levels(uri)
        next(engine)
        next(engine)
        shutil.rmtree(uri)
        slow.set()
        with pytest.raises(DoesNotExistError, match="removed or moved while"):
            for _ in engine:
                pass
        assert not os.path.exists(uri)

    def test_two_runs_at_once(self, tmp_path, slow):
        uri = write(tmp_path / "a.soma", noise((3, 900, 700)))
        engine = write_levels(uri)
        next(engine)
        with pytest.raises(BusyError, match="has been changing its levels"):
            create_levels(uri)
        slow.set()
        with contextlib.closing(engine):
            for _ in engine:
                pass
        assert list(read(uri)) == ["level0", "level1"]

    def test_another_program_adds_the_same_level(self, tmp_path, slow):
        pixels = noise((3, 900, 700))
        uri = write(tmp_path / "a.soma", pixels)
        engine = write_levels(uri)
        next(engine)
        with MultiscaleImage.open(uri, "w") as image:
            other = noise((3, 450, 350), seed=9)
            image.add_new_level("level1", shape=other.shape).write((), other)
        slow.set()
        with pytest.raises(FileExistsError, match="level1"):
            for _ in engine:
                pass
        found = read(uri)
        np.testing.assert_array_equal(found["level1"], other)
        np.testing.assert_array_equal(found["level0"], pixels)

    def test_another_program_adds_a_level_beside_one_that_is_replaced(
        self, tmp_path, slow
    ):
        uri = write(tmp_path / "a.soma", noise((3, 900, 700)))
        create_levels(uri, plan_levels(uri, n_levels=1))
        shapes = [(3, 450, 350), (3, 30, 20)]
        plan = plan_levels(uri, shapes=shapes, keys=["level1", "mine"], replace=True)
        engine = write_levels(uri, plan)
        next(engine)
        with MultiscaleImage.open(uri, "w") as image:
            other = noise((3, 45, 35), seed=9)
            image.add_new_level("mine", shape=other.shape).write((), other)
        slow.set()
        with pytest.raises(FileExistsError, match="mine"):
            for _ in engine:
                pass
        np.testing.assert_array_equal(read(uri)["mine"], other)


class TestRefusals:
    def test_too_little_disk(self, tmp_path, monkeypatch):
        uri = write(tmp_path / "a.soma", noise((3, 1500, 1100)))
        usage = shutil.disk_usage(tmp_path)
        monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=2**20))
        with pytest.raises(StorageError, match=r"are needed.*1\.0 MiB"):
            create_levels(uri)

    def test_no_permission(self, tmp_path, monkeypatch):
        uri = write(tmp_path / "a.soma", noise((3, 900, 700)))

        def refuse(*_args, **_kwargs):
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(os, "open", refuse)
        with pytest.raises(AccessError, match="ermission"):
            create_levels(uri)

    def test_a_plan_for_another_image(self, tmp_path):
        one = write(tmp_path / "a.soma", noise((3, 900, 700)))
        other = write(tmp_path / "b.soma", noise((3, 901, 700)))
        with pytest.raises(ArgumentError, match="not as it was planned for"):
            create_levels(other, plan_levels(one))

    def test_a_plan_that_was_carried_out_before(self, tmp_path):
        uri = write(tmp_path / "a.soma", noise((3, 900, 700)))
        plan = plan_levels(uri)
        create_levels(uri, plan)
        with pytest.raises(ArgumentError, match="Plan again"):
            create_levels(uri, plan)

    def test_something_else_than_a_plan(self, tmp_path):
        uri = write(tmp_path / "a.soma", noise((3, 900, 700)))
        with pytest.raises(ArgumentTypeError, match="must be a LevelPlan"):
            create_levels(uri, {"n_levels": 3})

    def test_nothing_to_make(self, tmp_path):
        uri = write(tmp_path / "a.soma", noise((3, 90, 70)))
        before = listing(uri)
        assert create_levels(uri) == ()
        assert listing(uri) == before

    def test_no_image(self, tmp_path):
        with pytest.raises(DoesNotExistError, match="Nothing is stored"):
            create_levels(tmp_path / "none.soma")

    def test_something_else_than_a_client(self, tmp_path):
        uri = write(tmp_path / "a.soma", noise((3, 900, 700)))
        with pytest.raises(ArgumentTypeError, match=r"distributed\.Client or the addr"):
            create_levels(uri, client=7)

    def test_a_scheduler_that_is_not_there(self, tmp_path):
        uri = write(tmp_path / "a.soma", noise((3, 900, 700)))
        before = listing(uri)
        start = time.monotonic()
        with pytest.raises(ClusterError, match="No dask scheduler answers at 'tcp"):
            create_levels(uri, client="tcp://127.0.0.1:9")
        assert time.monotonic() - start < 8
        assert listing(uri) == before

    @pytest.mark.parametrize("answer", [None, b"HTTP/1.1 400 Bad Request\r\n\r\n"])
    def test_something_else_at_the_address_of_the_scheduler(self, tmp_path, answer):
        uri = write(tmp_path / "a.soma", noise((3, 900, 700)))
        with socket.create_server(("127.0.0.1", 0)) as server:

            def serve():
                with contextlib.suppress(OSError):
                    connection, _ = server.accept()
                    if answer:
                        connection.sendall(answer)
                    time.sleep(10)

            threading.Thread(target=serve, daemon=True).start()
            port = server.getsockname()[1]
            start = time.monotonic()
            with pytest.raises(ClusterError, match="No dask scheduler answers"):
                create_levels(uri, client=f"tcp://127.0.0.1:{port}")
        assert time.monotonic() - start < 9

    def test_an_address_that_makes_no_sense(self, tmp_path):
        uri = write(tmp_path / "a.soma", noise((3, 900, 700)))
        with pytest.raises(ClusterError, match="No dask scheduler answers"):
            create_levels(uri, client="nowhere")


def test_a_painted_point_stays_put_through_all_levels(tmp_path):
    shape = (10017, 7919)
    points = [(0, 0), (5003, 3011), (10016, 7918), (77, 7900), (9999, 5)]
    pixels = np.zeros(shape, np.uint16)
    uri = write(tmp_path / "a.soma", pixels, ("y", "x"))
    with MultiscaleImage.open(uri, "w") as image:
        for y, x in points:
            image["level0"].write((y, x), np.full((1, 1), 65535, np.uint16))

    keys = create_levels(uri, plan_levels(uri, n_levels=5))

    with MultiscaleImage.open(uri) as image:
        for key in keys:
            level = image[key].read().astype(float)
            scale = np.array(shape) / level.shape
            for point in points:
                centre = np.array(point) + 0.5
                low = np.maximum((centre / scale).astype(int) - 2, 0)
                part = level[tuple(slice(a, a + 5) for a in low)]
                weights = part / part.sum()
                at = [
                    (np.indices(part.shape)[d] * weights).sum() + low[d] + 0.5
                    for d in (0, 1)
                ]
                assert np.all(np.abs(at - centre / scale) <= 0.5)
