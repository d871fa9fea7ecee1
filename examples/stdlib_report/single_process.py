"""The same report without a cluster: the reference that the agents' work is compared with.

`python -m examples.stdlib_report.single_process [FILE]` writes it to a file or prints it."""

from __future__ import annotations

import platform
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from examples.stdlib_report.analysis import Figures, analyse_source
from examples.stdlib_report.corpus import Module, library_folder, list_modules
from examples.stdlib_report.reduction import reduce_package, render_report


def compute_report(folder: Path, modules: Sequence[Module]) -> str:
    """The report on these modules of the library in `folder`."""
    packages: dict[str, list[Figures]] = defaultdict(list)
    for module in modules:
        source = (folder / module.path).read_bytes()
        packages[module.package].append(analyse_source(module.name, source))
    summaries = [reduce_package(name, figures) for name, figures in packages.items()]
    return render_report(summaries, platform.python_version())


def main() -> None:
    folder = library_folder()
    report = compute_report(folder, list_modules(folder))
    if len(sys.argv) > 1:
        Path(sys.argv[1]).write_text(report, encoding="utf-8")
    else:
        sys.stdout.write(report)


if __name__ == "__main__":
    main()
