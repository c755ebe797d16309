"""Writing images and scenes, killed at every change of the file system.

Run as a script this module is the victim: it forks a child for every point, which ends
itself with SIGKILL there. The script itself never uses TileDB, whose threads would not
survive the fork.
"""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from napari_msimage import CoordinateSpace, MultiscaleImage, ScaleTransform, Scene
from napari_msimage.engines import ImageToWrite, SceneToWrite, run, write_store
from napari_msimage.errors import AlreadyExistsError
from napari_msimage.storage import SOMATileDBContext

from .killing import die_at, survives

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="the victims are forked"),
]

#: One thread each: forking and starting a few hundred of them takes seconds.
CONTEXT = SOMATileDBContext(
    {"sm.compute_concurrency_level": 1, "sm.io_concurrency_level": 1}
)
SPACE = CoordinateSpace.from_axis_names(("x", "y"))
NAMES = ("a", "b c")


def pixels(number):
    return np.random.default_rng(number).integers(0, 255, (13, 11), dtype=np.uint8)


def image(number):
    levels = (pixels(number), pixels(number)[::2, ::2])
    return ImageToWrite(levels, SPACE, ("y", "x"), more_levels=False)


def scene():
    images = {name: image(number) for number, name in enumerate(NAMES)}
    halved = ScaleTransform(("x", "y"), ("x", "y"), [0.5, 0.5])
    return SceneToWrite(SPACE, images, dict.fromkeys(NAMES, halved))


#: What is written, and whether it takes the place of an image.
JOBS = {"image": False, "scene": False, "replace": True}


def write(uri, job):
    what = scene() if job == "scene" else image(1)
    run(write_store(str(uri), what, replace=JOBS[job], context=CONTEXT))


def victim(uri, job, point):
    os.fsync = lambda _: None  # takes most of the time, and SIGKILL loses no pages
    die_at(point)
    write(uri, job)


def make_old(uri):
    run(write_store(str(uri), image(0), context=CONTEXT))


def kill_everywhere(folder):
    survives(make_old, folder / "old.soma")
    for job, replaces in JOBS.items():
        # most of a scene is what is done for each image
        for point in itertools.count(1, 4 if job == "scene" else 1):
            place = folder / job / str(point)
            place.mkdir(parents=True)
            if replaces:
                shutil.copytree(folder / "old.soma", place / "it.soma")
            if survives(victim, place / "it.soma", job, point):
                place.rename(folder / job / "whole")
                break


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """A folder with a place for every job and point at which it was killed."""
    folder = tmp_path_factory.mktemp("killed")
    code = [sys.executable, "-m", __name__, str(folder)]
    subprocess.run(code, check=True, cwd=Path(__file__).parents[1])
    return folder


def is_complete(uri, job):
    if job == "scene":
        with Scene.open(str(uri), context=CONTEXT) as stored:
            assert set(stored.img) == set(NAMES)
            for number, name in enumerate(NAMES):
                found = stored.get_transform_to_multiscale_image(name)
                assert found.scale_factors.tolist() == [0.5, 0.5]
                assert np.array_equal(stored.img[name]["level0"].read(), pixels(number))
        return True
    with MultiscaleImage.open(str(uri), context=CONTEXT) as stored:
        assert list(stored.levels()) == ["level0", "level1"]
        found = stored["level0"].read()
    is_new = np.array_equal(found, pixels(1))
    assert is_new or np.array_equal(found, pixels(0))
    return is_new


@pytest.mark.parametrize("job", JOBS)
def test_it_is_there_complete_or_as_before_and_the_next_run_cleans_up(killed, job):
    places = sorted(killed.joinpath(job).glob("[0-9]*"))
    assert len(places) > 10
    n_missing = 0
    for place in places:
        uri = place / "it.soma"
        n_missing += not uri.exists()
        was_complete = uri.exists() and is_complete(uri, job)
        if JOBS[job]:
            # between the two renames of the swap there is only the old one, aside
            aside = list(place.glob("it.soma.old.*"))
            assert uri.exists() or aside, place
        if was_complete and not JOBS[job]:
            with pytest.raises(AlreadyExistsError):
                write(uri, job)
        else:
            write(uri, job)
        assert is_complete(uri, job), place
        assert [path.name for path in place.iterdir()] == ["it.soma"], place
    assert n_missing <= 1 or not JOBS[job]


if __name__ == "__main__":
    kill_everywhere(Path(sys.argv[1]))
