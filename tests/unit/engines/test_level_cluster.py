"""Levels made on a dask cluster: two processes on this machine."""

from __future__ import annotations

import os
import time

import numpy as np
import pytest
from distributed import Client, LocalCluster

from napari_msimage import MultiscaleImage, create_levels, plan_levels
from napari_msimage.engines import _level_cluster, _level_passes, write_levels
from napari_msimage.errors import ArgumentError, ClusterError, DoesNotExistError

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cluster():
    with LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        processes=True,
        host="127.0.0.1",
        dashboard_address=":0",
    ) as cluster:
        yield cluster


@pytest.fixture
def stream_everything(monkeypatch):
    monkeypatch.setattr(_level_passes, "MEMORY_BYTES", 2**18)
    monkeypatch.setattr(_level_passes, "_BAND_BYTES", 2**16)
    monkeypatch.setattr(_level_passes, "_MIN_JOB_BYTES", 2**16)


@pytest.fixture
def make(tmp_path):
    """Return a function that writes an image of noise."""

    def make(name="a.soma", shape=(3, 1501, 1203)):
        uri = str(tmp_path / name)
        rng = np.random.default_rng(4)
        pixels = rng.normal(0, 9, shape).astype(np.float32)
        pixels[:, 100:140, 50:90] = np.nan
        with MultiscaleImage.create(uri, type="float32", level_shape=shape) as image:
            image["level0"].write((), pixels)
        return uri

    return make


def read(uri):
    with MultiscaleImage.open(uri) as image:
        return {key: image[key].read().tobytes() for key in image.levels()}


def test_two_workers_and_threads_make_the_same_bytes(make, cluster, stream_everything):
    here, there, by_address = make("a.soma"), make("b.soma"), make("c.soma")
    keys = create_levels(here, plan_levels(here, n_levels=3, n_threads=8))
    with Client(cluster) as client:
        assert create_levels(there, plan_levels(there, n_levels=3), client=client) == (
            keys
        )
    create_levels(
        by_address,
        plan_levels(by_address, n_levels=3),
        client=cluster.scheduler_address,
    )

    assert read(here) == read(there) == read(by_address)
    for uri in (there, by_address):
        assert set(os.listdir(uri)) == set(os.listdir(here))


def test_progress_comes_to_the_end(make, cluster, stream_everything):
    uri = make()
    told = []
    create_levels(uri, client=cluster.scheduler_address, progress=told.append)
    assert told[-1].done == told[-1].total > 0
    assert len(told) > 2


def test_stopping_leaves_the_image_as_it_was(make, cluster, stream_everything):
    uri = make(shape=(3, 3001, 2803))
    before = sorted(os.listdir(uri))
    engine = write_levels(uri, client=cluster.scheduler_address)
    next(engine)
    next(engine)

    engine.close()

    assert sorted(os.listdir(uri)) == before
    time.sleep(0.5)  # what still ran would write now
    assert sorted(os.listdir(uri)) == before
    assert create_levels(uri, client=cluster.scheduler_address)


def test_errors_of_workers_come_here(make, cluster, monkeypatch):
    uri = make()
    before = sorted(os.listdir(uri))
    original = _level_cluster.run_job.__module__
    assert original == "napari_msimage.engines._level_jobs"

    from napari_msimage.engines import _levels

    make_jobs = _levels.LevelsRun._jobs

    def jobs_of_a_missing_array(self, one):
        self._source_uri += "-gone"
        return make_jobs(self, one)

    monkeypatch.setattr(_levels.LevelsRun, "_jobs", jobs_of_a_missing_array)
    with pytest.raises(DoesNotExistError, match="level0-gone"):
        create_levels(uri, client=cluster.scheduler_address)
    assert sorted(os.listdir(uri)) == before


def test_no_workers(make):
    with (
        LocalCluster(n_workers=0, host="127.0.0.1", dashboard_address=":0") as empty,
        pytest.raises(ClusterError, match="has no workers"),
    ):
        create_levels(make(), client=empty.scheduler_address)


def test_memory_of_this_process_is_out_of_reach(cluster):
    uri = f"mem://cluster-{os.getpid()}"
    with MultiscaleImage.create(uri, type="uint8", level_shape=(3, 900, 700)):
        pass
    with pytest.raises(ArgumentError, match="in the memory of this process"):
        create_levels(uri, client=cluster.scheduler_address)
