"""Exports are complete or not there: kills, cancels, faults, full disks, memory."""

from __future__ import annotations

import dataclasses
import errno
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import numpy as np
import pytest

from napari_msimage.engines import (
    ExportSource,
    ImageRegion,
    _export_files,
    _export_threads,
    export_region,
    plan_export,
    write_export,
)
from napari_msimage.errors import (
    AccessError,
    AlreadyExistsError,
    ArgumentError,
    ArgumentTypeError,
    BusyError,
    DoesNotExistError,
    SOMAError,
    StorageError,
)

CHANNEL = "soma_channel"
NAMES = ["a.npy", "a.tif", "a.png", "a.zarr", "a.soma"]


class Lazy:
    """Made-up pixels, which take a while."""

    def __init__(self, shape=(3, 4096, 4096), *, delay=0.0, fails_after=None):
        self.shape = shape
        self.dtype = np.dtype("uint8")
        self.chunks = (1, 512, 512)
        self.n_reads = 0
        self._delay = delay
        self._fails_after = fails_after
        self._lock = threading.Lock()

    def __getitem__(self, key):
        with self._lock:
            self.n_reads += 1
        if self._fails_after is not None and self.n_reads > self._fails_after:
            raise RuntimeError("the scanner caught fire")
        time.sleep(self._delay)
        sizes = [part.stop - part.start for part in key]
        rows = np.arange(key[1].start, key[1].stop).astype("uint8")
        return np.broadcast_to(rows[:, None], sizes).copy()


# numpy's arrays may be read by several threads at a time.
Lazy.__module__ = "numpy"


def slide(level=None, **more):
    level = Lazy(**more) if level is None else level
    return ExportSource(
        "slide", (level,), (CHANNEL, "y", "x"), np.eye(3), ("um", "um"), is_rgb=True
    )


def names_in(folder):
    return sorted(entry.name for entry in folder.iterdir())


# Cancel


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("pyramid", [False, True])
def test_closing_stops_within_a_second_and_leaves_nothing(tmp_path, name, pyramid):
    if pyramid and name in ("a.npy", "a.png"):
        pytest.skip("holds one level")
    source = slide(shape=(3, 8192, 8192), delay=0.05)
    plan = plan_export(source, tmp_path / name, pyramid=pyramid)
    engine = write_export(plan)
    deadline = time.monotonic() + 0.4
    for progress in engine:
        assert 0 <= progress.done <= progress.total
        if source.levels[0].n_reads > 2 and time.monotonic() > deadline:
            break
    assert names_in(tmp_path) != []
    start = time.monotonic()
    engine.close()
    assert time.monotonic() - start < 1
    assert names_in(tmp_path) == []
    reads = source.levels[0].n_reads
    time.sleep(0.2)
    assert source.levels[0].n_reads == reads


def test_png_is_cancelled_while_it_is_packed(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (3, 5000, 5000), "uint8")
    engine = write_export(plan_export(slide(pixels), tmp_path / "a.png"))
    for progress in engine:
        if progress.fraction >= 0.4:
            break
    start = time.monotonic()
    engine.close()
    assert time.monotonic() - start < 1
    assert names_in(tmp_path) == []


def test_progress_rises_to_the_end(tmp_path):
    for name in NAMES:
        plan = plan_export(slide(shape=(3, 600, 700)), tmp_path / name)
        steps = list(write_export(plan))
        done = [step.done for step in steps]
        assert done == sorted(done)
        assert steps[-1].done == steps[-1].total
        assert steps[-2].done < steps[-2].total
        if name == "a.zarr":  # read once more for a coarser level
            assert steps[-1].total == 3 * (2 * 600 * 700 + 300 * 350)
        else:
            assert steps[-1].total == 3 * 600 * 700


@pytest.mark.parametrize("name", ["a.npy", "a.tif", "a.png", "a.zarr"])
def test_a_source_that_hangs_is_left_behind(tmp_path, name):
    is_read, may_go_on = threading.Event(), threading.Event()

    class Hanging:
        shape, dtype, ndim = (3, 2000, 2000), np.dtype(np.uint8), 3

        def __getitem__(self, key):
            is_read.set()
            may_go_on.wait(60)
            return np.zeros(
                [
                    len(range(*s.indices(n)))
                    for s, n in zip(key, self.shape, strict=True)
                ],
                np.uint8,
            )

    source = dataclasses.replace(slide(shape=(3, 9, 9)), levels=(Hanging(),))
    before = set(threading.enumerate())
    engine = write_export(plan_export(source, tmp_path / name))
    while not is_read.is_set():
        next(engine)
    engine.close()
    assert names_in(tmp_path) == []
    may_go_on.set()
    for thread in set(threading.enumerate()) - before:
        thread.join(30)
    assert names_in(tmp_path) == []


def test_complete_files_of_other_regions_stay(tmp_path):
    source = slide(delay=0.02)
    regions = [
        ImageRegion((0, 0), (50, 50), "small"),
        ImageRegion((0, 0), (4096, 4096), "large"),
    ]
    engine = write_export(
        plan_export(source, tmp_path / "{region}.npy", region=regions)
    )
    for progress in engine:
        if progress.done > 3 * 50 * 50:
            break
    engine.close()
    assert names_in(tmp_path) == ["regions.csv", "small.npy", "small.npy.json"]


# Faults


@pytest.mark.parametrize("name", NAMES)
def test_a_source_that_fails_is_named_and_leaves_nothing(tmp_path, name):
    source = slide(shape=(3, 3000, 3000), fails_after=1)
    with pytest.raises(StorageError, match="RuntimeError: the scanner caught fire"):
        export_region(source, tmp_path / name)
    assert names_in(tmp_path) == []


def test_a_failure_keeps_the_file_that_was_there(tmp_path):
    path = tmp_path / "a.npy"
    path.write_bytes(b"precious")
    source = slide(shape=(3, 3000, 3000), fails_after=1)
    with pytest.raises(StorageError, match="fire"):
        export_region(source, path, overwrite=True)
    assert path.read_bytes() == b"precious"
    assert names_in(tmp_path) == ["a.npy"]


def test_a_full_disk_is_said_in_plain_words(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(StorageError, match=r"disk was full before .*a.npy"):
        export_region(slide(shape=(3, 60, 70)), tmp_path / "a.npy")
    assert names_in(tmp_path) == []


@pytest.mark.skipif(sys.platform != "linux", reason="needs a limit of file sizes")
@pytest.mark.parametrize("name", ["a.npy", "a.tif", "a.png", "a.zarr"])
def test_files_that_cannot_grow(tmp_path, name):
    code = f"""
        import resource, signal, sys
        import numpy as np
        from napari_msimage.engines import ExportSource, export_region
        from napari_msimage.errors import StorageError

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (30000, 30000))
        pixels = np.random.default_rng(0).integers(0, 255, (3, 900, 900), "uint8")
        source = ExportSource(
            "slide", (pixels,), ("soma_channel", "y", "x"), np.eye(3), (None, None),
            is_rgb=True,
        )
        try:
            export_region(source, {str(tmp_path / name)!r})
        except StorageError as err:
            print(err)
    """
    done = _python(code)
    assert "Cannot write " in done
    assert str(tmp_path / name) in done
    assert ": File too large. " in done
    assert names_in(tmp_path) == []


def test_chunks_that_are_still_written_leave_nothing(tmp_path, monkeypatch):
    """Zarr gives up at the first chunk that fails, while others are being written."""
    local = pytest.importorskip("zarr.storage._local")
    bands = set()
    lock = threading.Lock()
    real = local._put

    def put(path, value, *args, **more):
        if path.name != "zarr.json":
            with lock:
                is_first = path.parent not in bands
                bands.add(path.parent)
            if is_first:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            time.sleep(0.2)
        return real(path, value, *args, **more)

    monkeypatch.setattr(local, "_put", put)
    pixels = np.random.default_rng(0).integers(0, 255, (3, 600, 6000), "uint8")
    with pytest.raises(StorageError, match=r"disk was full before .*a.zarr"):
        export_region(slide(pixels), tmp_path / "a.zarr", pyramid=False)
    time.sleep(1)
    assert names_in(tmp_path) == []


def _python(code, **more):
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
        **more,
    ).stdout


def test_too_little_space_is_seen_before(tmp_path):
    source = slide(shape=(3, 2**20, 2**20))
    with pytest.raises(StorageError, match=r"up to 3.06 TiB are needed and .* free"):
        export_region(source, tmp_path / "a.npy")
    assert source.levels[0].n_reads == 0
    assert names_in(tmp_path) == []


# Destinations


@pytest.mark.parametrize("name", NAMES)
def test_what_is_there_is_kept_without_consent(tmp_path, name):
    source = slide(shape=(3, 30, 40))
    export_region(source, tmp_path / name)
    before = names_in(tmp_path)
    with pytest.raises(AlreadyExistsError, match="already; it is left as it is"):
        export_region(source, tmp_path / name)
    export_region(source, tmp_path / name, overwrite=True)
    assert names_in(tmp_path) == before


def test_a_json_file_that_is_there_is_kept_too(tmp_path):
    (tmp_path / "a.npy.json").write_text("mine")
    with pytest.raises(AlreadyExistsError, match=r"a.npy.json"):
        export_region(slide(shape=(3, 30, 40)), tmp_path / "a.npy")
    assert names_in(tmp_path) == ["a.npy.json"]


def test_a_folder_is_not_replaced_by_a_file(tmp_path):
    (tmp_path / "a.npy").mkdir()
    with pytest.raises(ArgumentError, match="is a folder"):
        export_region(slide(shape=(3, 9, 9)), tmp_path / "a.npy", overwrite=True)


@pytest.mark.parametrize("name", NAMES)
def test_the_folder_has_to_exist(tmp_path, name):
    with pytest.raises(DoesNotExistError, match=r"does not exist. Make it first"):
        export_region(slide(shape=(3, 9, 9)), tmp_path / "missing" / name)
    assert names_in(tmp_path) == []


def test_folders_that_may_not_be_written_to(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(AccessError, match="you may not write to the folder"):
        export_region(slide(shape=(3, 9, 9)), tmp_path / "a.npy")


def test_a_refusal_of_the_system_is_an_access_error(tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(AccessError, match="Operation not permitted"):
        export_region(slide(shape=(3, 9, 9)), tmp_path / "a.npy")
    assert names_in(tmp_path) == []


def test_a_file_that_appears_meanwhile_is_kept(tmp_path):
    source = slide(delay=0.02)
    engine = write_export(plan_export(source, tmp_path / "a.npy"))
    next(engine)
    next(engine)
    (tmp_path / "a.npy").write_bytes(b"of somebody else")
    with pytest.raises(AlreadyExistsError):
        list(engine)
    assert (tmp_path / "a.npy").read_bytes() == b"of somebody else"
    assert "a.npy.part" not in names_in(tmp_path)


@pytest.mark.parametrize("name", ["a.npy", "a.zarr"])
def test_two_exports_to_the_same_place(tmp_path, name):
    source = slide(shape=(3, 2000, 2000), delay=0.02)
    first = write_export(plan_export(source, tmp_path / name))
    next(first)
    next(first)
    with pytest.raises(BusyError, match="Another export"):
        export_region(slide(shape=(3, 9, 9)), tmp_path / name)
    assert list(first)[-1].fraction == 1
    assert not any(".part" in one for one in names_in(tmp_path))


@pytest.mark.parametrize("name", [name for name in NAMES if name != "a.soma"])
@pytest.mark.parametrize("is_empty", [False, True])
def test_parts_of_dead_programs_are_replaced(tmp_path, name, is_empty):
    part = tmp_path / f"{name}.part"
    if name == "a.zarr":
        part.mkdir()
        if not is_empty:
            (part / "1" / "c").mkdir(parents=True)
            (part / "zarr.json.0123.partial").write_text("{")
    else:
        beginning = {"a.npy": b"\x93NUMPY", "a.png": b"\x89PNG"}.get(name, b"II*\0")
        part.write_bytes(b"" if is_empty else beginning + b"x" * 10**6)
    export_region(slide(shape=(3, 30, 40)), tmp_path / name)
    assert not any(".part" in one for one in names_in(tmp_path))


@pytest.mark.skipif(os.name == "nt", reason="no signals")
@pytest.mark.parametrize("name", NAMES)
def test_a_killed_export_leaves_a_part_that_the_next_one_replaces(tmp_path, name):
    code = f"""
        import sys
        sys.path.insert(0, {os.path.dirname(__file__)!r})
        from test_export_safety import slide
        from napari_msimage.engines import plan_export, write_export

        source = slide(shape=(3, 8192, 8192), delay=0.02)
        for progress in write_export(plan_export(source, {str(tmp_path / name)!r})):
            if progress.fraction > 0.05:
                print("now", flush=True)
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout.readline() == "now\n"
        process.send_signal(signal.SIGKILL)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    left = names_in(tmp_path)
    assert left
    assert name not in left
    assert all(".part" in one or "__msimage_tmp_" in one for one in left)
    written = export_region(slide(shape=(3, 60, 70)), tmp_path / name)
    assert names_in(tmp_path) == sorted(os.path.basename(path) for path in written)


def test_only_plans_are_run():
    with pytest.raises(ArgumentTypeError, match="plan_export makes it"):
        next(write_export("a.npy"))


# Files and threads by themselves


@pytest.mark.parametrize("point", range(6))
@pytest.mark.parametrize("is_folder", [False, True])
def test_each_call_may_fail(tmp_path, monkeypatch, point, is_folder):
    """Whatever the system refuses: the old or the new is there, and no part."""
    path = tmp_path / "a.zarr"
    if is_folder:
        path.mkdir()
        (path / "zarr.json").write_text("old")
    else:
        path.write_text("old")
    calls = 0

    def failing(real):
        def call(*args, **more):
            nonlocal calls
            calls += 1
            if calls == point + 1:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            return real(*args, **more)

        return call

    for name in ("open", "makedirs", "rename", "replace", "ftruncate", "listdir"):
        monkeypatch.setattr(_export_files.os, name, failing(getattr(os, name)))
    try:
        with _export_files.part_of(
            str(path), is_folder=is_folder, overwrite=True
        ) as part:
            target = os.path.join(part, "zarr.json") if is_folder else part
            with open(target, "w", encoding="utf-8") as file:
                file.write("new")
        expected = "new"
    except SOMAError:
        expected = "old"
    monkeypatch.undo()
    found = (path / "zarr.json" if is_folder else path).read_text()
    assert found == expected
    assert [one for one in names_in(tmp_path) if not one.endswith(".part")] == [
        "a.zarr"
    ]


def test_results_come_in_order_and_errors_end_the_work():
    seen = []

    def work(i):
        time.sleep(0.01 * (i % 3))
        seen.append(i)
        if i == 7:
            raise ValueError(i)
        return i

    found = []
    with pytest.raises(ValueError, match="7"):
        found.extend(_export_threads.in_order(range(100), work))
    assert max(seen) < 13
    results = _export_threads.in_order(range(6), work)
    assert list(results) == list(range(6))


# Memory


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="asks the kernel")
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.npy", ""),
        ("a.npy", "region=outlined, mask=True"),
        ("a.tif", ""),
        ("a.tif", "pyramid=True"),
        ("a.zarr", "pyramid=True"),
        ("a.soma", ""),
    ],
)
def test_memory_does_not_depend_on_the_size(tmp_path, name, options):
    """576 MB of pixels, of a source that has no blocks in common with the region."""
    code = f"""
        import sys
        sys.path.insert(0, {os.path.dirname(__file__)!r})
        import numpy as np
        from test_export_safety import Lazy, slide
        from napari_msimage.engines import ImageRegion, export_region

        def peak():
            lines = open("/proc/self/status").read().splitlines()
            facts = dict(line.split(":", 1) for line in lines)
            return int(facts["VmHWM"].split()[0]) / 1e3

        def outline(size):
            turn = np.linspace(0, 6.28, 50)
            return np.stack((np.sin(turn), np.cos(turn)), 1) * size / 2 + size / 2

        for size in (300, 14001):
            outlined = ImageRegion((7, 9), (size, size), "", outline(size))
            region = (7, 9, size, size)
            options = dict(region=region, channels=[0, 1, 2])
            options.update({options})
            source = slide(Lazy((3, 14010, 14010)))
            export_region(source, {str(tmp_path)!r} + f"/{{size}}{name}", **options)
            if size == 300:
                before = peak()
        print(peak() - before)
    """
    peak = float(_python(code))
    assert peak < 200


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="asks the kernel")
@pytest.mark.parametrize("name", ["a.npy", "a.tif", "a.zarr"])
def test_memory_does_not_depend_on_the_width(tmp_path, name):
    """Rows of 60 000 pixels, off the blocks of the source."""
    code = f"""
        import sys
        sys.path.insert(0, {os.path.dirname(__file__)!r})
        from test_export_safety import Lazy, slide
        from napari_msimage.engines import export_region

        def peak():
            lines = open("/proc/self/status").read().splitlines()
            facts = dict(line.split(":", 1) for line in lines)
            return int(facts["VmHWM"].split()[0]) / 1e3

        for size in (300, 59990):
            source = slide(Lazy((3, 2100, 60000)))
            path = {str(tmp_path)!r} + f"/{{size}}{name}"
            export_region(source, path, region=(7, 9, size, min(size, 2090)))
            if size == 300:
                before = peak()
        print(peak() - before)
    """
    peak = float(_python(code))
    assert peak < 200


@pytest.mark.skipif(sys.platform != "linux", reason="asks the kernel")
@pytest.mark.parametrize("is_wide", [False, True], ids=["512", "row"])
def test_memory_does_not_depend_on_the_width_of_tiff(tmp_path, is_wide):
    """Rows of 4 million pixels, in blocks of 512 or of whole rows."""
    code = f"""
        import sys
        sys.path.insert(0, {os.path.dirname(__file__)!r})
        from test_export_safety import Lazy, slide
        from napari_msimage.engines import export_region

        def peak():
            lines = open("/proc/self/status").read().splitlines()
            facts = dict(line.split(":", 1) for line in lines)
            return int(facts["VmHWM"].split()[0]) / 1e3

        for size in (300, 4_000_000):
            level = Lazy((3, 32, size))
            if {is_wide}:
                level.chunks = (1, 1, size)
            export_region(slide(level), {str(tmp_path)!r} + f"/{{size}}a.tif")
            if size == 300:
                before = peak()
        print(peak() - before)
    """
    assert float(_python(code)) < 200
