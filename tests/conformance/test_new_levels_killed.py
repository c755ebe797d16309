"""Adding and replacing levels, killed at every change of the file system.

Run as a script this module is the victim: it forks a child for every point, which ends
itself with SIGKILL there. The script itself never uses TileDB, whose threads would not
survive the fork.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

from napari_msimage import MultiscaleImage
from napari_msimage.errors import LevelKeyError, StoreWarning
from napari_msimage.storage import (
    DenseNDArray,
    LevelSpec,
    SOMATileDBContext,
    stage_levels,
)

from .killing import die_at, survives

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="the victims are forked"),
]

#: One thread each: forking and starting a few hundred of them takes seconds.
CONTEXT = SOMATileDBContext(
    {"sm.compute_concurrency_level": 1, "sm.io_concurrency_level": 1}
)
OLD = {"level0": (2, 9, 12), "a": (2, 5, 6)}
NEW = {
    "add": {"b": (2, 4, 5), "c": (2, 3, 4)},
    "replace_same": {"a": (2, 5, 6), "b": (2, 3, 4)},
    "replace_other": {"a": (2, 4, 7), "b": (2, 3, 4)},
}
#: Killed while putting right a job that was killed in the middle of its commit: members
#: are there, metadata is not.
RECOVER = {f"recover_{name}": NEW[name] for name in ("add", "replace_other")}
JOBS = {**NEW, **RECOVER}


def pixels(shape, number):
    """Different for the old levels (0) and the new ones (1)."""
    return np.random.default_rng(number).integers(1, 255, shape, dtype=np.uint8)


def make_image(uri):
    with MultiscaleImage.create(
        uri,
        type="uint8",
        level_shape=OLD["level0"],
        context=CONTEXT,
    ) as image:
        image["level0"].write((), pixels(OLD["level0"], 0))
        image.add_new_level("a", shape=OLD["a"]).write((), pixels(OLD["a"], 0))


def stage(uri, job):
    specs = [LevelSpec(key, shape) for key, shape in JOBS[job].items()]
    return stage_levels(uri, specs, replace="replace" in job, context=CONTEXT)


def make_levels(uri, job):
    with stage(uri, job) as staged:
        for key, address in staged.uris.items():
            with DenseNDArray.open(
                address, "w", tiledb_timestamp=staged.timestamp_ms, context=CONTEXT
            ) as array:
                array.write((), pixels(JOBS[job][key], 1))
        staged.register()


# The victim ---------------------------------------------------------------------


def victim(uri, job, point):
    os.fsync = lambda _: None  # takes most of the time, and SIGKILL loses no pages
    die_at(point)
    if job in RECOVER:
        with stage(uri, job):
            return
    make_levels(uri, job)


def half_committed(folder, job):
    """Return a killed image with new members that its metadata does not have."""
    for path in folder.joinpath(job).glob("[0-9]*"):
        before = len(list((folder / "image" / "__group").iterdir()))
        hidden = job == "replace_other"  # needs a file to hide the level
        n_meta = len(list((folder / "image" / "__meta").iterdir())) + hidden
        if (
            len(list((path / "__group").iterdir())) == before + 1
            and len(list((path / "__meta").iterdir())) == n_meta
            and (path / "__msimage.lock").exists()
        ):
            return path
    raise SystemExit(f"no killed {job} is half committed")


def kill_everywhere(folder):
    survives(make_image, str(folder / "image"))
    for job in JOBS:
        original = folder / "image"
        if job in RECOVER:
            original = half_committed(folder, job.removeprefix("recover_"))
        for point in itertools.count(1):
            uri = folder / job / str(point)
            shutil.copytree(original, uri)
            if survives(victim, str(uri), job, point):
                uri.rename(folder / job / "whole")
                break


# What is left of the image ------------------------------------------------------


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """A folder with an image for every job and point at which it was killed."""
    folder = tmp_path_factory.mktemp("killed")
    code = [sys.executable, "-m", __name__, str(folder)]
    subprocess.run(code, check=True, cwd=Path(__file__).parents[1])
    return folder


def read_levels(uri):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", StoreWarning)
        image = MultiscaleImage.open(uri, context=CONTEXT)
    with image:
        assert all(image.level_shape(key) == image[key].shape for key in image)
        return {key: np.asarray(image[key].read()) for key in image.levels()}


def is_like(found, number, key, shape):
    return key in found and np.array_equal(found[key], pixels(shape, number))


def listing(path):
    """Names of all files and folders, without what differs from run to run."""
    return {
        re.sub(r"__\d+_\d+_[0-9a-f]{32}|,\d+", "", str(one.relative_to(path)))
        for one in Path(path).rglob("*")
    }


@pytest.mark.parametrize("job", JOBS)
def test_every_level_is_complete_or_as_before_and_a_new_run_cleans_up(killed, job):
    paths = sorted(killed.joinpath(job).glob("[0-9]*"))
    assert len(paths) > 25
    clean = listing(killed / job.removeprefix("recover_") / "whole")
    assert not [name for name in clean if "msimage" in name]
    for path in paths:
        found = read_levels(str(path))
        assert is_like(found, 0, "level0", OLD["level0"]), path
        assert set(found) <= {*OLD, *JOBS[job]}, path
        for key, shape in JOBS[job].items():
            is_new = is_like(found, 1, key, shape)
            is_old = (
                is_like(found, 0, key, OLD[key]) if key in OLD else key not in found
            )
            is_hidden = "replace_other" in job and key not in found
            assert is_new or is_old or is_hidden, (path, key)
        if "replace" not in job:
            assert len(set(found) & set(JOBS[job])) in (0, 2), path

        # any job brings a hidden level back
        with stage_levels(str(path), [LevelSpec("z", (2, 3, 3))], context=CONTEXT):
            found = read_levels(str(path))
        for key, shape in JOBS[job].items():
            is_new = is_like(found, 1, key, shape)
            assert is_new or key not in OLD or is_like(found, 0, key, OLD[key]), path
        # the job is complete already if it was killed after its commit
        with contextlib.suppress(LevelKeyError):
            make_levels(str(path), job)
        found = read_levels(str(path))
        for key, shape in JOBS[job].items():
            assert is_like(found, 1, key, shape), (path, key)
        assert listing(path) == clean, path


if __name__ == "__main__":
    kill_everywhere(Path(sys.argv[1]))
