# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The report as a picture: for each row our bar above its peer's, both in the peer's time; a mark shows the goal."""

from __future__ import annotations

from collections.abc import Iterator
from xml.sax.saxutils import escape

from ansible_collections.sandboxed.containers.tests.bench.figures import Figure, Report
from ansible_collections.sandboxed.containers.tests.bench.table import goals, ratio, seconds

WIDTH = 860
LEFT, BARS, RIGHT = 24, 372, 836
UNIT = 108  # pixels of the peer's time
LONGEST = 2.6  # times the peer's time; longer bars are cut, with an arrow
TOP, ROW, BOTTOM = 92, 58, 44

# Both schemes of the reader's browser; programs that do not know the question show the light one.
STYLE = """
text { font-family: sans-serif; font-size: 12px; fill: #1d2730 }
.title { font-size: 17px; font-weight: bold }
.what { font-size: 13px; font-weight: bold }
.small { font-size: 11px; fill: #46525c }
.back { fill: #ffffff } .line { stroke: #dde2e6; stroke-width: 1 }
.peer { fill: #b4bdc5 } .goal { stroke: #1d2730; stroke-width: 2 }
.met { fill: #2a8c57 } .missed { fill: #c4452f } .reported { fill: #3f78b8 }
@media (prefers-color-scheme: dark) {
text { fill: #e8edf1 } .small { fill: #aab5be }
.back { fill: #151b21 } .line { stroke: #303a43 }
.peer { fill: #66727c } .goal { stroke: #f2f5f7 }
.met { fill: #45b97c } .missed { fill: #ec6a52 } .reported { fill: #6ba3e0 }
}
"""


def picture(report: Report) -> str:
    """The whole SVG document."""
    height = TOP + ROW * len(report.figures) + BOTTOM
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" '
        f'role="img" aria-label="What the collection takes, beside its peers">'
    )
    parts = [head, "<!-- SPDX-License-Identifier: GPL-3.0-or-later -->", f"<style>{STYLE}</style>"]
    parts += [f'<rect class="back" width="{WIDTH}" height="{height}"/>', *_header(report)]
    for number, figure in enumerate(report.figures):
        parts += _row(figure, TOP + ROW * number)
    parts += [*_legend(TOP + ROW * len(report.figures) + 18), "</svg>"]
    return "\n".join(parts) + "\n"


def _text(kind: str, x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text class="{kind}" x="{x:g}" y="{y:g}" text-anchor="{anchor}">{escape(text)}</text>'


def _header(report: Report) -> Iterator[str]:
    machine = report.machine
    yield _text("title", LEFT, 30, "What it takes, beside its peers")
    yield _text("small", RIGHT, 30, f"{report.when}, version {report.collection}", "end")
    values = [
        value if name in ("processor", "memory", "kernel") else f"{name} {value}" for name, value in machine.items()
    ]
    yield _text("small", LEFT, 50, ", ".join(values[:3]))
    yield _text("small", LEFT, 66, ", ".join(values[3:]))


def kind_of(figure: Figure) -> str:
    """The class of our bar."""
    return {None: "reported", True: "met", False: "missed"}[figure.met]


def _row(figure: Figure, top: float) -> Iterator[str]:
    length = 1 / figure.ratio if figure.faster else figure.ratio
    yield f'<path class="line" d="M{LEFT} {top} H{RIGHT}"/>'
    yield _text("what", LEFT, top + 22, figure.what)
    yield _text("small", LEFT, top + 39, figure.how_much)
    end = BARS + UNIT * min(length, LONGEST)
    yield f'<rect class="{kind_of(figure)}" x="{BARS}" y="{top + 12}" width="{max(end - BARS, 1.5):.1f}" height="15"/>'
    if length > LONGEST:
        yield f'<path class="{kind_of(figure)}" d="M{end + 2:.1f} {top + 12} l7 7.5 l-7 7.5 z"/>'
        end += 9
    yield f'<rect class="peer" x="{BARS}" y="{top + 31}" width="{UNIT}" height="11"/>'
    if figure.goal is not None:
        mark = BARS + UNIT * (1 / figure.goal if figure.faster else figure.goal)
        yield f'<path class="goal" d="M{mark:.1f} {top + 8} v23"/>'
        end = max(end, mark)
    yield _text("", end + 7, top + 24, seconds(figure.ours.seconds))
    yield _text("small", BARS + UNIT + 7, top + 41, f"{seconds(figure.peer.seconds)}, {figure.peer.name}")
    yield _text("what", RIGHT, top + 24, f"{ratio(figure.ratio)} ×{' faster' if figure.faster else ''}", "end")
    yield _text("small", RIGHT, top + 41, goals(figure).strip("()"), "end")


def _legend(top: float) -> Iterator[str]:
    yield f'<path class="line" d="M{LEFT} {top - 18} H{RIGHT}"/>'
    x = float(LEFT)
    for kind, text in (("met", "goal met"), ("missed", "goal missed"), ("reported", "no goal"), ("peer", "the peer")):
        yield f'<rect class="{kind}" x="{x:g}" y="{top - 8}" width="18" height="10"/>'
        yield _text("small", x + 24, top + 1, text)
        x += 36 + 7 * len(text)
    yield f'<path class="goal" d="M{x + 4:g} {top - 11} v16"/>'
    yield _text("small", x + 12, top + 1, "the goal")
    yield _text("small", RIGHT, top + 1, "medians; each row is drawn in its peer's time", "end")
