"""Figures with their limits: as a table, as JSON and as Markdown."""

from __future__ import annotations

import json
import os
import platform
import statistics
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path


@dataclass
class Figure:
    """One number, mostly a ratio, and what it should be."""

    section: str
    name: str
    value: float | None
    """None: could not be measured."""
    unit: str = "x"
    at_least: float | None = None
    at_most: float | None = None
    note: str = ""

    @property
    def limit(self) -> str:
        if self.at_least is not None:
            return f">= {self.at_least:.3g}"
        return f"<= {self.at_most:.3g}" if self.at_most is not None else ""

    @property
    def verdict(self) -> str:
        if not self.limit:
            return ""
        if self.value is None:
            return "not measured"
        low = self.at_least if self.at_least is not None else self.value
        high = self.at_most if self.at_most is not None else self.value
        return "pass" if low <= self.value <= high else "FALLS SHORT"

    @property
    def text(self) -> str:
        return "-" if self.value is None else f"{self.value:.3g} {self.unit}".rstrip()


@dataclass
class Report:
    """Everything that one run found out."""

    options: dict[str, Any]
    figures: list[Figure] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)
    """Peers that did not take part, and why."""
    raw: dict[str, Any] = field(default_factory=dict)
    """Every single measurement."""

    def add(self, *arguments: Any, **options: Any) -> None:
        self.figures.append(Figure(*arguments, **options))

    @property
    def failures(self) -> list[Figure]:
        return [f for f in self.figures if f.verdict not in ("", "pass")]

    def sorted_figures(self) -> list[Figure]:
        """Return the figures by section, in order of first appearance."""
        sections = list(dict.fromkeys(f.section for f in self.figures))
        return sorted(self.figures, key=lambda f: sections.index(f.section))

    def markdown(self) -> str:
        lines = [f"Machine: {machine()}", "", "Versions: " + _listed(self.versions), ""]
        lines += [f"Options: {_listed(self.options)}", ""]
        for name, reason in self.absent.items():
            lines += [f"**Did not take part: {name}** ({reason})", ""]
        lines += ["| | measured | limit | | |", "|---|---|---|---|---|"]
        section = None
        for f in self.sorted_figures():
            if f.section != section:
                section = f.section
                lines.append(f"| **{section}** | | | | |")
            lines.append(
                f"| {f.name} | {f.text} | {f.limit} | {f.verdict} | {f.note} |"
            )
        return "\n".join(lines) + "\n"

    def save(self, folder: Path, name: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.md").write_text(self.markdown())
        content = {**asdict(self), "machine": machine()}
        (folder / f"{name}.json").write_text(json.dumps(content, indent=1))

    def show(self) -> None:
        width = max(len(f.name) for f in self.figures)
        print(f"\n{machine()}\n{_listed(self.versions)}\n{_listed(self.options)}")
        for name, reason in self.absent.items():
            print(f"DID NOT TAKE PART: {name} ({reason})")
        section = None
        for f in self.sorted_figures():
            if f.section != section:
                section = f.section
                print(f"\n{section}")
            cells = [f"{f.name:{width}}", f"{f.text:>10}", f"{f.limit:8}"]
            print("  ".join(["", *cells, f"{f.verdict:11}", f.note]).rstrip())
        absent = sum(f.value is None for f in self.failures)
        print(f"\n{len(self.failures) - absent} limits missed, {absent} not measured")


def _listed(entries: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in sorted(entries.items()))


def machine() -> str:
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    return (
        f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, Python "
        f"{platform.python_version()}{load}"
    )


def spread(seconds: list[float]) -> str:
    """Return median and quartiles in milliseconds, as text."""
    low, middle, high = statistics.quantiles(seconds, n=4)
    return f"{middle * 1e3:.2f} ms [{low * 1e3:.2f}, {high * 1e3:.2f}]"
