"""Processes that serve the peers, and the environment that they run in."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
REQUIREMENTS = Path(__file__).with_name("requirements.txt")
ENVIRONMENT = ROOT / ".venv-bench"


class PeerError(RuntimeError):
    """A peer that cannot take part, and why."""


def install() -> tuple[Path, dict[str, str]]:
    """Make the peers' environment, unless it is there.

    Returns
    -------
    python : Path
        Its interpreter.
    missing : dict of str to str
        Requirements that could not be installed, with pip's last words.
    """
    python = ENVIRONMENT / (
        "Scripts/python.exe" if sys.platform == "win32" else "bin/python"
    )
    stamp = ENVIRONMENT / "installed.json"
    wanted = hashlib.sha256(
        REQUIREMENTS.read_bytes() + (ROOT / "pyproject.toml").read_bytes()
    ).hexdigest()
    if stamp.exists():
        state = json.loads(stamp.read_text())
        if state["wanted"] == wanted and not state["missing"]:
            return python, {}
    print(f"Installing the peers into {ENVIRONMENT.name} ...", flush=True)
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", ENVIRONMENT], check=True)
    if failure := _pip(python, "-e", f"{ROOT}", "napari[pyqt6]"):
        raise SystemExit(f"Cannot install this package for the benchmarks: {failure}")
    missing = {}
    for line in REQUIREMENTS.read_text().splitlines():
        requirement = line.partition("#")[0].strip()
        if requirement and (failure := _pip(python, requirement)):
            missing[requirement] = failure
    stamp.write_text(json.dumps({"wanted": wanted, "missing": missing}))
    return python, missing


def _pip(python: Path, *arguments: str) -> str | None:
    command = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    done = subprocess.run(
        [*command, *arguments], capture_output=True, text=True, check=False, cwd=ROOT
    )
    if done.returncode == 0:
        return None
    lines = [line for line in done.stderr.splitlines() if "ERROR" in line]
    return (lines or ["pip failed"])[-1]


def run_once(
    python: Path, module: str, request: dict[str, Any], timeout_s: float
) -> dict[str, Any]:
    """Run one process for one request and return its answer.

    Raises
    ------
    PeerError
        If it fails, is killed or takes too long.
    """
    try:
        done = subprocess.run(
            [python, "-m", module, json.dumps(request)],
            capture_output=True,
            text=True,
            check=False,
            cwd=ROOT,
            timeout=timeout_s,
        )
    except subprocess.TimeoutExpired as err:
        msg = f"not finished within {timeout_s} s"
        raise PeerError(msg) from err
    lines = done.stdout.splitlines()
    answer: dict[str, Any] = (
        json.loads(lines[-1])
        if lines
        else {"error": f"the process ended with code {done.returncode}"}
    )
    if "error" in answer:
        raise PeerError(answer["error"])
    return answer


class Peer:
    """One peer's process."""

    def __init__(self, name: str, python: Path) -> None:
        self.name = name
        self._process = subprocess.Popen(
            [python, "-m", "benchmarks._worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )

    def ask(self, what: str, **arguments: Any) -> dict[str, Any]:
        """Send one request and wait for its answer.

        Raises
        ------
        PeerError
            If the peer fails.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        line = ""
        try:
            print(
                json.dumps({"do": what, "with": arguments}),
                file=self._process.stdin,
                flush=True,
            )
            line = self._process.stdout.readline()
        except BrokenPipeError:
            pass
        answer = json.loads(line) if line else {"error": "the process ended"}
        if "error" in answer:
            raise PeerError(answer["error"])
        return answer

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()
