"""Serve one peer: requests and answers are lines of JSON on stdin and stdout."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
import traceback
import zlib
from pathlib import Path
from typing import Any

import numpy as np


def main() -> None:
    # Libraries that print must not disturb the protocol.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    store = None
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if request["do"] == "start":
                store, answer = _start(**request["with"])
            else:
                answer = _ask(store, request["do"], request.get("with", {}))
        except Exception as err:  # noqa: BLE001 - whatever it is, the peer is out
            traceback.print_exc()
            answer = {"error": f"{type(err).__name__}: {err}"[:500]}
        print(json.dumps(answer), file=answers, flush=True)


def _start(name: str, data: str, size: int, image: str | None) -> Any:
    from ._stores import STORES

    store = STORES[name](Path(data), size, image)
    answer: dict[str, Any] = {"versions": store.versions()}
    if not store.path.exists():
        # Built under another name first, so that an interrupted run leaves nothing.
        final = store.path
        store.path = final.with_name(f"building-{final.name}")
        shutil.rmtree(store.path, ignore_errors=True)
        start = time.perf_counter()
        store.build()
        answer["build_s"] = time.perf_counter() - start
        store.path.rename(final)
        store.path = final
    level = store.path / store.level
    answer["level_nbytes"] = sum(
        path.stat().st_size for path in level.rglob("*") if path.is_file()
    )
    store.open()
    return store, answer


def _ask(store: Any, what: str, arguments: dict[str, Any]) -> dict[str, Any]:
    if what == "window":
        start = time.perf_counter()
        pixels = store.window(**arguments)
        seconds = time.perf_counter() - start
        return {"s": seconds, "crc": zlib.crc32(np.ascontiguousarray(pixels))}
    if what == "clear":
        store.clear()
        return {}
    return store.counts()


if __name__ == "__main__":
    main()
