"""Command line: ``python -m napari_msimage demo`` and ``doctor``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import SOMAError

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    Parameters
    ----------
    arguments : sequence of str, optional
        Without the program's name; default is the command line.

    Returns
    -------
    int
        0, or 1 if the command failed; its message is then on standard error. 130 after
        Ctrl-C. Wrong arguments exit with 2 (argparse).
    """
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except (SOMAError, OSError, ImportError) as error:
        print(f"napari-msimage: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _demo(options: argparse.Namespace) -> int:
    from .plugin._demo import sample_store, show_demo
    from .plugin._doctor import find_problems

    problems = find_problems()
    if problems:
        print(*problems, sep="\n", file=sys.stderr)
        return 1
    store = sample_store(options.output, size=options.size, say=_say)
    show_demo(store, screenshot=options.screenshot, say=_say)
    return 0


def _doctor(options: argparse.Namespace) -> int:
    from .plugin._doctor import find_problems

    problems = find_problems()
    print(*(problems or ["All a napari window needs is here."]), sep="\n")
    return 1 if problems else 0


def _say(message: str) -> None:
    print(message, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m napari_msimage",
        description="SOMA multiscale images in napari.",
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    demo = commands.add_parser("demo", help="open a sample SOMA image in napari")
    demo.set_defaults(run=_demo)
    demo.add_argument(
        "--output",
        metavar="DIR",
        type=Path,
        default=Path(".demo"),
        help="folder for the sample image (default: %(default)s)",
    )
    demo.add_argument(
        "--size",
        metavar="N",
        type=_size,
        default=8192,
        help="pixels along each side of the sample image (default: %(default)s)",
    )
    demo.add_argument(
        "--screenshot",
        metavar="PATH",
        type=_png,
        help="save a picture of the window as PNG, then close it",
    )
    doctor = commands.add_parser("doctor", help="say what a napari window lacks here")
    doctor.set_defaults(run=_doctor)
    return parser


def _size(text: str) -> int:
    try:
        size = int(text)
    except ValueError:
        size = 0
    if not 64 <= size <= 65536:
        msg = f"got {text!r}, expected a whole number from 64 to 65536"
        raise argparse.ArgumentTypeError(msg)
    return size


def _png(text: str) -> Path:
    path = Path(text)
    if path.suffix.lower() != ".png":
        msg = f"got {text!r}, expected a name that ends in .png"
        raise argparse.ArgumentTypeError(msg)
    return path


if __name__ == "__main__":
    sys.exit(main())
