"""A run takes no more memory than its plan says, where tiles of the source are costly.

Measured in processes of their own: what is resident at most, above that at the start.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from napari_msimage import MultiscaleImage

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not Path("/proc/self/clear_refs").exists(),
        reason="only Linux tells the peak of resident memory",
    ),
]

_RUN = """
import json, os, sys
from napari_msimage import create_levels, plan_levels

def resident(name):
    with open("/proc/self/status") as status:
        return next(int(l.split()[1]) for l in status if l.startswith(name)) * 1024

plan = plan_levels(sys.argv[1], n_threads=int(sys.argv[2]) or None)
from napari_msimage.engines import _levels
start = resident("VmRSS")
with open("/proc/self/clear_refs", "w") as file:
    file.write("5")
keys = create_levels(sys.argv[1], plan)
folders = [os.path.join(sys.argv[1], key, "__fragments") for key in keys]
print(json.dumps([
    resident("VmHWM") - start, plan.peak_bytes, [len(os.listdir(f)) for f in folders]
]))
"""


@pytest.mark.parametrize(
    ("shape", "extents", "order", "dtype", "n_threads"),
    [
        ((64, 1400, 1401), (64, 128, 128), "cyx", "uint8", 2),
        ((131, 600, 601), (128, 128, 128), "cyx", "float32", 0),
        ((700, 701, 90), (128, 128, 90), "yxc", "uint16", 0),
        ((140, 521, 523), (128, 128, 128), "zyx", "float64", 0),
        ((3, 1500, 2501), (1, 512, 512), "cyx", "uint16", 2),
    ],
    ids=["channels", "more channels", "channels last", "deep tiles", "ordinary"],
)
def test_a_run_takes_no_more_memory_than_planned(
    tmp_path, shape, extents, order, dtype, n_threads
):
    names = ["soma_channel" if axis == "c" else axis for axis in order]
    tiles = {f"soma_dim_{i}": {"tile": e} for i, e in enumerate(extents)}
    uri = str(tmp_path / "a.soma")
    rng = np.random.default_rng(0)
    with MultiscaleImage.create(
        uri,
        type=dtype,
        level_shape=shape,
        coordinate_space=[axis for axis in "xyz" if axis in order],
        data_axis_order=names,
        has_channel_axis="c" in order,
        platform_config={"dims": tiles},
    ) as image:
        pixels = rng.integers(0, 200, shape, "uint8").astype(dtype)
        image["level0"].write((), pixels)
    del pixels

    done = subprocess.run(
        [sys.executable, "-c", _RUN, uri, str(n_threads)],
        capture_output=True,
        text=True,
        check=False,
    )

    assert not done.returncode, done.stderr
    taken, planned, n_fragments = json.loads(done.stdout)
    assert n_fragments
    assert taken <= planned <= 240 * 2**20
    assert max(n_fragments) < 64
