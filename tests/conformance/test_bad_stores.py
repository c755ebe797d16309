"""Bad input: a clear error, in time, in little memory, and nothing changed."""

from __future__ import annotations

import json
import os
import re
import select
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from napari_msimage import errors

from .bad_stores import BAD_STORES, HARMLESS_STORES
from .damage import make_good
from .store_suite import tree_facts

MAX_SECONDS = 2.0
MAX_BYTES = 2**30
KINDS = {name for name in vars(errors) if name.endswith("Error")} - {"SOMAError"}


class Worker:
    """The process that opens bad stores; started again should one kill it."""

    def __init__(self, good: Path) -> None:
        self._good = good
        self._process: subprocess.Popen[str] | None = None

    def attempt(self, path: Path | str, as_nobody: bool = False) -> dict[str, Any]:
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, str(Path(__file__).with_name("bad_store_worker.py"))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            warm = self._ask(str(self._good), False)  # imports take a second
            assert warm["error"] is None, warm
        answer = self._ask(str(path), as_nobody)
        if answer["peak_bytes"] > MAX_BYTES:  # so that the next store is not blamed
            self.close()
        return answer

    def _ask(self, uri: str, as_nobody: bool) -> dict[str, Any]:
        process = self._process
        assert process is not None
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps({"uri": uri, "as_nobody": as_nobody}) + "\n")
        process.stdin.flush()
        ready, _, _ = select.select([process.stdout], [], [], 60)
        line = process.stdout.readline() if ready else ""
        if not line:
            process.kill()
            code = process.wait()
            self._process = None
            pytest.fail(f"the process hung or died (exit code {code}) on {uri}")
        return dict(json.loads(line))

    def close(self) -> None:
        if self._process is not None:
            self._process.communicate(timeout=30)
            self._process = None


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    path = tmp_path_factory.mktemp("good") / "pyramid.soma"
    make_good(path)
    return path


@pytest.fixture(scope="module")
def worker(good):
    worker = Worker(good)
    yield worker
    worker.close()


@pytest.fixture
def path(good, tmp_path_factory):
    """A copy of the good image, to be damaged."""
    path = tmp_path_factory.mktemp("b") / "p" / "bad.soma"
    shutil.copytree(good, path)
    return path


def assert_clear_error(answer, path, kinds, match):
    assert answer["error"] is not None, "no error at all"
    name, message = answer["error"][0], answer["message"]
    assert "SOMAError" in answer["error"], (name, message)
    assert name in KINDS, (name, message)
    assert name in kinds, (name, message)
    assert re.search(match, message, re.IGNORECASE), message
    assert str(path) in message, f"the message does not say where: {message}"
    assert len(message) < 2000, "nobody reads so long a message"
    assert answer["seconds"] < MAX_SECONDS
    assert answer["peak_bytes"] < MAX_BYTES
    if name != "AccessError":
        assert answer["exists"] in (True, False), "asking must not raise"


@pytest.mark.parametrize("name", BAD_STORES)
def test_bad_store_ends_in_a_clear_error(worker, path, name):
    bad = BAD_STORES[name]
    bad.build(path)
    before = tree_facts(str(path.parent.parent))
    answer = worker.attempt(path)
    assert tree_facts(str(path.parent.parent)) == before
    assert_clear_error(answer, path, bad.kinds, bad.match)


@pytest.mark.parametrize("name", HARMLESS_STORES)
def test_odd_store_opens_and_reads(worker, path, name):
    HARMLESS_STORES[name](path)
    before = tree_facts(str(path.parent.parent))
    answer = worker.attempt(path)
    assert tree_facts(str(path.parent.parent)) == before
    assert answer["error"] is None, answer["message"]
    assert answer["exists"] is True
    assert answer["probe"] == "SOMAMultiscaleImage"
    skips = name in ("level_of_metadata_only", "level_without_entry")
    assert ("StoreWarning" in answer["warnings"]) == skips


@pytest.mark.parametrize(
    ("uri", "kinds"),
    [
        ("", ("ArgumentError",)),
        ("a\0b", ("ArgumentError",)),
        ("/" + "a" * 5000, ("DoesNotExistError", "StorageError", "ArgumentError")),
        ("nowhere\nto\tbe found", ("DoesNotExistError",)),
        ("/dev/null", ("DoesNotExistError",)),
        ("s4://bucket/image", ("StorageError", "ArgumentError", "DoesNotExistError")),
        ("tiledb://user/image", ("StorageError", "ArgumentError", "DoesNotExistError")),
        ("file://", ("DoesNotExistError", "ArgumentError")),
        ("file:///nowhere%00", ("DoesNotExistError", "ArgumentError")),
    ],
    ids=["empty", "nul", "long", "blanks", "device", "scheme", "cloud", "root", "%00"],
)
def test_bad_address_ends_in_a_clear_error(worker, uri, kinds):
    answer = worker.attempt(uri)
    assert answer["error"] is not None
    assert answer["error"][0] in kinds, answer["message"]
    assert len(answer["message"]) >= 20
    assert answer["seconds"] < MAX_SECONDS


# Permissions ------------------------------------------------------------------------


@pytest.fixture
def public_path(good):
    """A copy of the good image where every user can come."""
    with tempfile.TemporaryDirectory(prefix="napari-msimage-") as folder:
        os.chmod(folder, 0o755)
        path = Path(folder) / "p" / "bad.soma"
        shutil.copytree(good, path)
        for root, _, files in os.walk(folder):
            os.chmod(root, 0o755)
            for name in files:
                os.chmod(os.path.join(root, name), 0o644)
        yield path
        for root, _, _ in os.walk(folder):
            os.chmod(root, 0o755)


@pytest.mark.parametrize(
    "locked",
    ["..", ".", "__meta", "__group", "__tiledb_group.tdb", "level0", "level0/__schema"],
)
def test_store_without_permission_says_so(worker, public_path, locked):
    target = public_path.parent if locked == ".." else public_path / locked
    os.chmod(target, 0)
    answer = worker.attempt(public_path, as_nobody=os.geteuid() == 0)
    os.chmod(target, 0o755)
    assert_clear_error(answer, public_path, ("AccessError",), "permission")


def test_file_without_permission_says_so(worker, public_path):
    for target in (public_path / "__meta").iterdir():
        os.chmod(target, 0)
    answer = worker.attempt(public_path, as_nobody=os.geteuid() == 0)
    assert_clear_error(answer, public_path, ("AccessError",), "permission")


def test_readable_store_needs_no_permission_to_write(worker, public_path):
    for root, folders, files in os.walk(public_path):
        for name in folders + files:
            path = os.path.join(root, name)
            os.chmod(path, 0o555 if name in folders else 0o444)
    os.chmod(public_path, 0o555)
    answer = worker.attempt(public_path, as_nobody=os.geteuid() == 0)
    assert answer["error"] is None, answer["message"]
