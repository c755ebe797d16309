"""Writing to an object store: a server of its own process, on loopback."""

from __future__ import annotations

import socket
import subprocess
import sys
import textwrap
import time
import urllib.request

import numpy as np
import pytest

from napari_msimage.coordinates import CoordinateSpace, ScaleTransform
from napari_msimage.engines import (
    ImageToWrite,
    SceneToWrite,
    create_levels,
    plan_levels,
    run,
    write_store,
)
from napari_msimage.errors import (
    AlreadyExistsError,
    SOMAError,
    StorageError,
    UnsupportedError,
)
from napari_msimage.storage import MultiscaleImage, Scene, SOMATileDBContext

pytestmark = pytest.mark.slow

SPACE = CoordinateSpace.from_axis_names(("x", "y"))


def config(port):
    return {
        "vfs.s3.scheme": "http",
        "vfs.s3.region": "us-east-1",
        "vfs.s3.endpoint_override": f"127.0.0.1:{port}",
        "vfs.s3.use_virtual_addressing": "false",
        "vfs.s3.aws_access_key_id": "testing",
        "vfs.s3.aws_secret_access_key": "testing",
        "vfs.s3.connect_timeout_ms": "5000",
        "vfs.s3.request_timeout_ms": "5000",
    }


@pytest.fixture(scope="module")
def port(tmp_path_factory):
    """The port of a server with an empty bucket ``slides``."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        number = free.getsockname()[1]
    code = "from moto.server import main; main()"
    with (
        open(tmp_path_factory.mktemp("s3") / "log.txt", "wb") as log,
        subprocess.Popen(
            [sys.executable, "-c", code, "-H", "127.0.0.1", "-p", str(number)],
            stdout=log,
            stderr=log,
        ) as server,
    ):
        try:
            make = urllib.request.Request(
                f"http://127.0.0.1:{number}/slides", method="PUT"
            )
            for left in reversed(range(100)):
                try:
                    urllib.request.urlopen(make, timeout=5).close()
                    break
                except OSError:
                    if not left or server.poll() is not None:
                        raise
                    time.sleep(0.3)
            yield number
        finally:
            server.kill()


@pytest.fixture
def context(port):
    return SOMATileDBContext(config(port))


def noise(shape, seed=0):
    return np.random.default_rng(seed).integers(0, 255, shape, np.uint8)


def image(pixels, **options):
    return ImageToWrite((pixels,), SPACE, ("y", "x"), **options)


def objects(port, prefix):
    """Return how many objects there are below an address."""
    url = f"http://127.0.0.1:{port}/slides?list-type=2&prefix={prefix}"
    with urllib.request.urlopen(url, timeout=5) as answer:
        return answer.read().count(b"<Key>")


def test_an_image_and_a_scene_are_written(context):
    pixels = noise((700, 600))
    uri = "s3://slides/image.soma"
    assert run(write_store(uri, image(pixels, max_side=400), context=context)) == (uri,)
    with MultiscaleImage.open(uri, context=context) as stored:
        assert list(stored.levels()) == ["level0", "level1"]
        np.testing.assert_array_equal(stored["level0"].read(), pixels)
    with pytest.raises(AlreadyExistsError, match="is left as it is"):
        run(write_store(uri, image(pixels), context=context))
    with pytest.raises(UnsupportedError, match="cannot rename"):
        run(write_store(uri, image(pixels), context=context, replace=True))

    uri = "s3://slides/deep/scene.soma"
    to_image = ScaleTransform(("x", "y"), ("x", "y"), [2.0, 2.0])
    scene = SceneToWrite(SPACE, {"H&E 1": image(pixels)}, {"H&E 1": to_image})
    run(write_store(uri, scene, context=context))
    with Scene.open(uri, context=context) as stored:
        found = stored.get_transform_to_multiscale_image("H&E 1")
        assert found.scale_factors.tolist() == [2.0, 2.0]
        np.testing.assert_array_equal(stored.img["H&E 1"]["level0"].read(), pixels)


def test_levels_are_added(context):
    uri = "s3://slides/flat.soma"
    run(write_store(uri, image(noise((300, 200)), more_levels=False), context=context))
    plan = plan_levels(uri, n_levels=2, context=context)
    assert create_levels(uri, plan, context=context) == ("level1", "level2")
    with MultiscaleImage.open(uri, context=context) as stored:
        assert stored["level2"].read().shape == (75, 50)


def test_a_failure_and_a_stop_leave_nothing(context, port):
    class Broken:
        shape, dtype = (90, 80), np.dtype("u1")

        def __getitem__(self, key):
            msg = "the drive is gone"
            raise OSError(msg)

    with pytest.raises(StorageError, match="the drive is gone"):
        run(write_store("s3://slides/broken.soma", image(Broken()), context=context))
    assert not objects(port, "broken.soma")

    engine = write_store(
        "s3://slides/stop.soma", image(noise((90, 80))), context=context
    )
    next(engine), next(engine)
    engine.close()
    assert not objects(port, "stop.soma")


def test_what_a_dead_process_left_is_no_image_and_no_obstacle(context, port):
    uri = "s3://slides/dead.soma"
    script = f"""
        import os
        import numpy as np
        from napari_msimage.coordinates import CoordinateSpace
        from napari_msimage.engines import ImageToWrite, write_store
        from napari_msimage.storage import SOMATileDBContext
        space = CoordinateSpace.from_axis_names(("x", "y"))
        image = ImageToWrite((np.ones((90, 80), "u1"),), space, ("y", "x"))
        context = SOMATileDBContext({config(port)!r})
        for progress in write_store({uri!r}, image, context=context):
            if progress.done:
                os._exit(9)
    """
    code = [sys.executable, "-c", textwrap.dedent(script)]
    assert subprocess.run(code, check=False, timeout=120).returncode == 9
    assert objects(port, "dead.soma")
    with pytest.raises(SOMAError):
        MultiscaleImage.open(uri, context=context)
    pixels = noise((40, 30))
    run(write_store(uri, image(pixels), context=context))
    with MultiscaleImage.open(uri, context=context) as stored:
        np.testing.assert_array_equal(stored["level0"].read(), pixels)


def test_a_bucket_that_is_not_there(context):
    with pytest.raises(SOMAError, match="nowhere"):
        run(
            write_store(
                "s3://nowhere/image.soma", image(noise((9, 8))), context=context
            )
        )
