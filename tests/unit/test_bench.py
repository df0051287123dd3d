# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The bench's arithmetic, words and picture, and that what is published belongs together."""

from __future__ import annotations

import json
import re
import stat
from pathlib import Path
from typing import Callable
from xml.etree import ElementTree

import pytest
from ansible_collections.sandboxed.containers.tests.bench import contenders, figures, picture, publish, table
from ansible_collections.sandboxed.containers.tests.bench.contenders import Command, Contender
from ansible_collections.sandboxed.containers.tests.bench.figures import Figure, Report, Sample, Shipped, Side
from ansible_collections.sandboxed.containers.tests.bench.kinds import BUNDLE, GVISOR, HOST, SMALL_KATA, WHOLE_KATA
from ansible_collections.sandboxed.containers.tests.bench.measure import Workshop, measure
from ansible_collections.sandboxed.containers.tests.bench.payload import BenchFailure, Payloads
from ansible_collections.sandboxed.containers.tests.bench.rows import ROWS, Row
from ansible_collections.sandboxed.containers.tests.bench.trees import Kind, lay_out, names

DOCS = Path(__file__).resolve().parents[2] / "docs"
MB = 1_000_000


def side(name: str, *seconds: float, scale: float = 1.0, peak: int = 50 * MB) -> Side:
    """Runs of one contender."""
    return Side(name, tuple(Sample(one, one, peak) for one in seconds), scale)


SLOWER = Figure("a", "remove 10 <things>", "7 & more", side("ours", 9.0, 1.5, 1.8), side("rm -rf", 1.0), goal=2.0)
FASTER = SLOWER._replace(key="b", peer=side("looped file", 10.0, scale=20), faster=True, goal=100)
REPORTED = SLOWER._replace(key="c", goal=None)
REPORT = Report(
    "2026-11-25", "0.1.0", {"processor": "fast, 2 cores"}, (SLOWER, FASTER, REPORTED), (Shipped("m", 300000, 4, 9, 1),)
)


def test_ratio_is_of_the_medians_and_scaled() -> None:
    """One slow run of three does not count; a part that was timed counts for the whole."""
    assert (SLOWER.ours.seconds, SLOWER.ratio, SLOWER.share, SLOWER.met) == (1.8, 1.8, 0.9, True)
    assert FASTER.peer.seconds == 200
    assert FASTER.ratio == pytest.approx(111.1, abs=0.1)
    assert FASTER.share == pytest.approx(0.9)
    assert (REPORTED.share, REPORTED.met) == (None, None)


@pytest.mark.parametrize(
    ("figure", "met"),
    [
        (SLOWER._replace(goal=1.8), True),
        (SLOWER._replace(goal=1.79), False),
        (FASTER._replace(goal=112), False),
        (SLOWER._replace(peak_goal=50 * MB), True),
        (SLOWER._replace(peak_goal=50 * MB - 1), False),
        (REPORTED._replace(peak_goal=1), False),
    ],
)
def test_all_goals_of_a_row_must_be_met(figure: Figure, met: bool) -> None:
    """Time and memory."""
    assert figure.met is met


@pytest.mark.parametrize(
    ("value", "shown"), [(0.7812, "0.78 s"), (9.999, "10.00 s"), (12.34, "12.3 s"), (1234.5, "1,234 s")]
)
def test_seconds(value: float, shown: str) -> None:
    """Three digits or what is before the point."""
    assert table.seconds(value) == shown


@pytest.mark.parametrize(("value", "shown"), [(2.0, "2.0"), (1.35, "1.35"), (1.5, "1.5"), (100, "100")])
def test_goal(value: float, shown: str) -> None:
    """As issues write them."""
    assert table.goal(value) == shown


@pytest.mark.parametrize(
    ("share", "shown"),
    [(0, ""), (0.0125, "▏"), (0.81, "████████▏"), (1, "█" * 10), (1.05, "█" * 10 + "▌"), (9, "█" * 14 + "▶")],
)
def test_bar(share: float, shown: str) -> None:
    """Ten characters are all that the goal allows."""
    assert table.bar_of(share) == shown


def test_table_has_the_form_of_a_row_that_users_know() -> None:
    """What, how much, ours, the ratio with its peer, the goal, the bar."""
    lines = table.table(REPORT).splitlines()
    assert lines[0] == "processor     fast, 2 cores"
    assert lines[2:5] == [
        "remove 10 <things> (7 & more)   1.80 s   1.80 × rm -rf                   1.00 s   (goal 2.0)   █████████",
        "remove 10 <things> (7 & more)   1.80 s   111 × faster than looped file    200 s   (goal 100)   █████████",
        "remove 10 <things> (7 & more)   1.80 s   1.80 × rm -rf                   1.00 s",
    ]
    assert table.goals(SLOWER._replace(goal=1.5, peak_goal=150 * MB)) == "(goal 1.5, 50 of 150 MB: missed)"
    assert table.goals(SLOWER._replace(goal=None, peak_ratio=1.3)) == "(memory 1.00 of 1.3)"
    long = Side("audit", (Sample(1.0, 1.0, MB, 65 * 1024),))
    assert table.goals(SLOWER._replace(ours=long, goal=None, printed_goal=64 * 1024)) == "(result 65 of 64 KiB: missed)"


def test_report_survives_json() -> None:
    """What is published can be read back, and has a schema."""
    data = json.loads(json.dumps(figures.to_json(REPORT)))
    assert figures.from_json(data) == REPORT
    with pytest.raises(ValueError, match="schema"):
        figures.from_json({**data, "schema": 0})


def test_picture_is_well_formed_and_has_every_row() -> None:
    """Text from data is escaped; a long bar is cut with an arrow; the classes say which goals are met."""
    slow = SLOWER._replace(ours=side("ours", 30.0))
    root = ElementTree.fromstring(picture.picture(REPORT._replace(figures=(*REPORT.figures, slow))))
    texts = ["".join(node.itertext()) for node in root.iter("{http://www.w3.org/2000/svg}text")]
    assert texts.count("remove 10 <things>") == 4
    assert [picture.kind_of(one) for one in (SLOWER, REPORTED, slow)] == ["met", "reported", "missed"]
    bars = [node for node in root.iter("{http://www.w3.org/2000/svg}rect") if node.get("class") == "missed"]
    assert float(bars[0].get("width", "0")) == pytest.approx(picture.UNIT * picture.LONGEST)
    right = [float(node.get("x", "0")) for node in root.iter("{http://www.w3.org/2000/svg}text")]
    assert max(right) <= picture.RIGHT


def test_page_gets_the_table_between_its_marks() -> None:
    """What stands around it stays; a page without marks is an error, not a page without results."""
    page = publish.with_results(f"before\n{publish.BEGIN}\nold\n{publish.END}\nafter\n", REPORT)
    assert page.startswith("before\n") and page.endswith("\nafter\n") and "old" not in page
    assert publish.with_results(page, REPORT) == page
    with pytest.raises(ValueError, match="results"):
        publish.with_results("no marks", REPORT)


def test_what_is_published_belongs_together() -> None:
    """The table and the picture in the docs are those of the JSON beside them; without it, the page shows neither."""
    page = (DOCS / "bench.md").read_text(encoding="utf-8")
    data = DOCS / "bench" / "results.json"
    if not data.exists():
        assert f"{publish.BEGIN}\n{publish.END}" in page
        return
    report = figures.from_json(json.loads(data.read_text(encoding="utf-8")))
    assert publish.with_results(page, report) == page
    assert (DOCS / "bench" / "results.svg").read_text(encoding="utf-8") == picture.picture(report)


def test_rows_have_names_of_their_own() -> None:
    """A row is asked for by its name."""
    assert len({row.key for row in ROWS}) == len(ROWS)


def row_of(words: list[str], check: Callable[[str], None]) -> Row:
    """A row whose both sides run a command."""
    contender = Contender("it", lambda _site, _payloads: Command(words, check), changes=True)
    return Row("key", "do {count}", GVISOR, 2, contender, contender, runs=3, peer_count=1)


def test_each_run_has_a_fresh_site_and_both_sides_take_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The peer, which does a part, is scaled; what is printed reaches the check."""
    told: list[str] = []
    printed: list[str] = []
    row = row_of(["sh", "-c", "ls site/run/runsc | wc -l; rm -r site"], printed.append)
    row = row._replace(ours=row.ours._replace(name="ours"), peer=row.peer._replace(name="peer"))
    monkeypatch.chdir(tmp_path)
    figure = measure(row, Workshop(tmp_path, Payloads(tmp_path), told.append))
    assert told == [f"do 2: run {number} of 3, {name}" for number in (1, 2, 3) for name in ("ours", "peer")]
    assert [text.strip() for text in printed] == ["4", "2"] * 3
    assert (figure.peer.scale, figure.how_much) == (2, "4 files")
    assert all(sample.seconds > 0 and sample.peak > 0 for sample in (*figure.ours.samples, *figure.peer.samples))


@pytest.mark.parametrize(
    ("script", "check", "message"),
    [
        ("echo no room >&2; exit 3", contenders.answer, "ended with 3: no room"),
        ("echo words", contenders.answer, "it did not do its work: the module printed no result: words"),
        ("""echo '{"failed": true, "msg": "in use"}'""", contenders.answer, "the module failed: in use"),
        ("echo '{}'", lambda output: contenders.expect("x" in output, "0 of 2 were deleted"), "0 of 2 were deleted"),
    ],
)
def test_a_run_that_fails_stops_the_bench(
    script: str, check: Callable[[str], None], message: str, tmp_path: Path
) -> None:
    """What was called and what it answered; nothing is left behind."""
    with pytest.raises(BenchFailure, match=re.escape(message)):
        measure(row_of(["sh", "-c", script], check), Workshop(tmp_path, Payloads(tmp_path), lambda _text: None))
    assert not (tmp_path / "site").exists()


@pytest.mark.parametrize(
    ("kind", "files", "directories"),
    [(SMALL_KATA, 4, 4), (WHOLE_KATA, 15, 8), (GVISOR, 2, 0), (BUNDLE, 7, 3)],
    ids=["small Kata", "whole Kata", "gVisor", "bundle"],
)
def test_trees_are_as_their_data_says(kind: Kind, files: int, directories: int, tmp_path: Path) -> None:
    """Each sandbox has all entries with their modes, and its own id in its documents."""
    site = lay_out(tmp_path, kind, 3)
    stores = set(site.stores)
    found = [path for store in stores for path in store.rglob("*")]
    assert site.ids == names(3) and not site.is_empty()
    assert sum(path.is_file() for path in found) == 3 * files
    assert sum(path.is_dir() for path in found) == 3 * directories
    for entry in kind.entries:
        place = tmp_path / entry.path.format(id=site.ids[0], container=site.ids[0][::-1])
        assert stat.S_IMODE(place.lstat().st_mode) == entry.mode
        assert place.is_symlink() is entry.is_link
    for path in found:
        if path.suffix in (".json", ".state") and path.stat().st_size:  # runc's log is empty where nothing went wrong
            json.loads(path.read_text(encoding="utf-8"))
    text = "".join(path.read_text(encoding="utf-8") for path in found if path.is_file())
    assert site.ids[2] in text and "@" not in text


def test_a_host_has_pods_of_several_generations_in_turn(tmp_path: Path) -> None:
    """Each kind of pod is laid out, and counted as it is."""
    lay_out(tmp_path, HOST, 5)
    found = [path for path in tmp_path.rglob("*") if not path.is_relative_to(tmp_path / "var" / "run")]
    inside = [path for path in found if not any(path == store or path in store.parents for store in _stores(tmp_path))]
    assert len(inside) == sum(HOST.numbers(5).values())
    assert len(list((tmp_path / "run" / "runsc").iterdir())) == 4
    assert len(list((tmp_path / "run" / "vc" / "sbs").iterdir())) == 4
    assert len(list((tmp_path / "run" / "vc" / "sbs").glob("*/persist.json"))) == 1
    for path in inside:
        if path.suffix in (".json", ".state") and path.stat().st_size:
            json.loads(path.read_text(encoding="utf-8"))


def _stores(folder: Path) -> list[Path]:
    return [folder / store for store in HOST.stores]
