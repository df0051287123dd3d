# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where the results go: docs/bench.md with the table, docs/bench/results.json and results.svg."""

from __future__ import annotations

import json
from pathlib import Path

from ansible_collections.sandboxed.containers.tests.bench.figures import Report, to_json
from ansible_collections.sandboxed.containers.tests.bench.picture import picture
from ansible_collections.sandboxed.containers.tests.bench.table import table

BEGIN, END = "<!-- results -->", "<!-- end of results -->"
PICTURE = "![Each row as a bar above its peer's](bench/results.svg)"


def write(report: Report, docs: Path) -> list[Path]:
    """Write all forms of the report below a folder of documentation; the paths that were written."""
    folder = docs / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    data, drawing, page = folder / "results.json", folder / "results.svg", docs / "bench.md"
    data.write_text(json.dumps(to_json(report), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    drawing.write_text(picture(report), encoding="utf-8")
    written = [data, drawing]
    if page.exists():
        page.write_text(with_results(page.read_text(encoding="utf-8"), report), encoding="utf-8")
        written.append(page)
    return written


def with_results(page: str, report: Report) -> str:
    """The page with the report's table between its two marks. Raises ValueError where they are missing."""
    before, begin, rest = page.partition(BEGIN)
    _old, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"the page has no {BEGIN} and {END}")
    head = f"Measured on {report.when}, version {report.collection}."
    return f"{before}{BEGIN}\n\n{head}\n\n{PICTURE}\n\n{indented(report)}\n{END}{after}"


def indented(report: Report) -> str:
    """The table as a block of code."""
    return "".join(f"    {line}\n" if line else "\n" for line in table(report).splitlines())
