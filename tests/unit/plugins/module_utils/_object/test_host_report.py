# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import os
import stat
from typing import Any

import pytest
from ansible_collections.sandboxed.containers.plugins.module_utils._object.host_object import Judged
from ansible_collections.sandboxed.containers.plugins.module_utils._object.host_report import (
    age_in_words,
    entries_of,
    in_words,
    kept_in_words,
    shown,
    size_in_words,
    summary_of,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._object.host_scan import Scan, Selection
from ansible_collections.sandboxed.containers.tests.unit.plugins.module_utils._object.support_host import (
    Thing,
    facts_of,
    judged,
    scan_of,
)

SIZES = {0: "0 B", 9: "9 B", 1023: "1023 B", 1024: "1 KiB", 1536: "1.5 KiB", 10_752: "10 KiB", 1 << 20: "1 MiB"}
SIZES.update({1_650_000_000: "1.5 GiB", 1 << 42: "4 TiB", 1 << 52: "4096 TiB"})
AGES = {0: "0 s", 59: "59 s", 60: "1 min", 3599: "59 min", 3600: "1 h 0 min", 7800: "2 h 10 min", 86_400: "1 d 0 h"}
AGES.update({200_000: "2 d 7 h"})
BLIND = "not all processes are visible here: this is not the initial pid namespace"
NOT_ROOT = "not all processes are visible: run as root, become: true"


def said_of(found: Scan, **asked: Any) -> str:
    return in_words(found, Selection(**asked))


@pytest.mark.parametrize("size", SIZES)
def test_sizes(size: int) -> None:
    assert size_in_words(size) == SIZES[size]


@pytest.mark.parametrize("seconds", AGES)
def test_ages(seconds: int) -> None:
    assert age_in_words(seconds) == AGES[seconds]


def test_a_file_counts_once_and_a_directory_not_at_all() -> None:
    one, other = facts_of(100, inode=1), facts_of(20, inode=2)
    assert Thing("sandbox", "x", "", (one, one, other)).size == 120
    assert Thing("sandbox", "x", "", (facts_of(4096, kind=stat.S_IFDIR),)).size == 0


def test_the_newest_change_counts() -> None:
    assert Thing("sandbox", "x", "", (facts_of(changed=5), facts_of(changed=9), facts_of(changed=7))).changed == 9
    assert Thing("sandbox", "x", "", ()).changed is None


def test_the_summary_counts_by_kind_layout_and_verdict() -> None:
    dead = Judged(Thing("sandbox", "a", "kata_rs", (facts_of(10),)), "leftover", ())
    other = Judged(Thing("sandbox", "b", "kata_rs", (facts_of(20),)), "leftover", ())
    found = summary_of([dead, judged("sandbox", "c", "live", "kata_rs"), judged("mapping", "d", "unknown"), other])
    assert {key: found[key] for key in ("total", "live", "leftover", "unknown", "foreign")} == {
        "total": 4,
        "live": 1,
        "leftover": 2,
        "unknown": 1,
        "foreign": 0,
    }
    assert found["by"] == [
        {"kind": "mapping", "layout": None, "verdict": "unknown", "count": 1, "bytes": 0},
        {"kind": "sandbox", "layout": "kata_rs", "verdict": "leftover", "count": 2, "bytes": 30},
        {"kind": "sandbox", "layout": "kata_rs", "verdict": "live", "count": 1, "bytes": 0},
    ]
    assert summary_of([]) == {"total": 0, "live": 0, "leftover": 0, "unknown": 0, "foreign": 0, "by": []}


def test_leftovers_are_shown_first() -> None:
    objects = [judged("sandbox", one, one) for one in ("live", "foreign", "unknown", "leftover")]
    assert [one.verdict for one in shown(objects, ["live", "leftover", "unknown", "foreign"])] == [
        *("leftover", "unknown", "foreign", "live")
    ]
    assert [one.verdict for one in shown(objects, ["unknown", "leftover"])] == ["leftover", "unknown"]
    assert shown(objects, []) == []


def test_an_entry_has_what_there_is() -> None:
    one = judged("sandbox", "web-1", "leftover", "kata_rs", age=60, mounts=1)
    assert one.entry() == {
        "kind": "sandbox",
        "layout": "kata_rs",
        "id": "web-1",
        "verdict": "leftover",
        "evidence": ["no process names it"],
        "paths": ["/run/sandbox/web-1"],
        "mounts": 1,
        "age": 60,
        "size": 0,
    }


def test_in_words_nothing() -> None:
    assert said_of(scan_of()) == "0 objects."


def test_in_words_only_what_lives() -> None:
    assert said_of(scan_of(judged("sandbox", "a", "live"))) == "1 object: 1 live."


def test_in_words_a_tired_person_reads_the_first_leftovers_and_what_to_do() -> None:
    size = (facts_of(4096),)
    first = Judged(Thing("sandbox", "web-1", "kata_rs", size), "leftover", ("a is gone", "b", "c"), 7800, 2)
    more = [judged("mapping", f"web-{number}") for number in (2, 3, 4, 5)]
    doubt = Judged(Thing("bundle", "web-6"), "unknown", ("it was changed 5 s ago",), 5)
    assert said_of(scan_of(first, *more, doubt, judged("sandbox", "b", "live"))) == (
        "7 objects: 1 live, 5 leftover, 1 unknown. Leftover: sandbox web-1 (kata_rs), 2 mounts, 4 KiB, unchanged for "
        "2 h 10 min: a is gone; b; mapping web-2: no process names it; mapping web-3: no process names it; and 2 more. "
        "Unknown: bundle web-6: it was changed 5 s ago. "
        "Remove leftovers with sandbox_prune scope=all_leftovers; try it with --check first."
    )


def test_in_words_a_reason_that_is_a_whole_error_ends_once() -> None:
    doubt = Judged(Thing("sandbox", "web-6"), "unknown", ("/run: it cannot be listed. Run as root.", "b"), 5)
    said = said_of(scan_of(doubt))
    assert said == "1 object: 1 unknown. Unknown: sandbox web-6: /run: it cannot be listed. Run as root; b."


def test_in_words_what_could_not_be_looked_at() -> None:
    said = said_of(scan_of(problems=("/run/vc/sbs: it cannot be listed.",)))
    assert said == "0 objects. Not all could be looked at: /run/vc/sbs: it cannot be listed."


def test_the_shown_objects_have_room_for_50_kib_and_a_higher_limit_gives_more() -> None:
    many = [
        Judged(Thing("sandbox", str(number) * 64, "kata_rs", ()), "leftover", ("why " * 100,)) for number in range(10)
    ] * 60
    few, more = entries_of(many, 200), entries_of(many, 600)
    size = len(json.dumps(few))
    assert 49 * 1024 < size <= 50 * 1024 and few == [one.entry() for one in many[: len(few)]]
    assert len(entries_of(many, 20)) == 20 and entries_of(many, 0) == []
    assert 2.9 * size < len(json.dumps(more)) < 3.1 * size


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"patterns": ("xx*",)}, "0 of 2 objects match patterns xx*."),
        ({"kinds": ("bundle", "socket")}, "0 of 2 objects match kinds bundle, socket."),
        ({"layouts": ("gvisor",), "patterns": ("a", "b")}, "0 of 2 objects match layouts gvisor and patterns a, b."),
    ],
    ids=["a pattern", "kinds", "a layout and patterns"],
)
def test_in_words_nothing_of_what_is_there_was_asked_for(asked: dict[str, Any], words: str) -> None:
    there = [judged("sandbox", name, "live", "kata_rs") for name in ("web-1", "web-2")]
    problem = "/run/vc/sbs: it cannot be listed."
    assert said_of(Scan([], there, (), ()), **asked) == words
    assert said_of(Scan([], there, (problem,), ()), **asked) == f"{words} Not all could be looked at: {problem}"
    assert said_of(Scan([], there[:1], (), ()), **asked).startswith("0 of 1 object matches ")
    assert said_of(scan_of(), **asked) == "0 objects."


@pytest.mark.parametrize(
    ("uid", "unknown", "words"),
    [
        (0, [], ""),
        (0, [(9, ["its record is empty"])], "1 unknown was kept (its record is empty); sandbox_host_info shows it."),
        (0, [(9, [BLIND])], f"1 unknown was kept ({BLIND}); sandbox_host_info shows it."),
        (
            7,
            [(9, [BLIND]), (1, ["it was changed 1 s ago", BLIND])],
            f"2 unknown were kept ({NOT_ROOT}); sandbox_host_info shows them.",
        ),
        (
            0,
            [(3, ["a"]), (None, ["c"]), (1, ["b"])],
            "3 unknown were kept (2 of them: changed less than min_age=5 s ago); sandbox_host_info shows them.",
        ),
    ],
    ids=["none", "one", "another pid namespace", "become is forgotten", "several reasons"],
)
def test_A1_what_is_kept_is_told_with_the_main_reason(
    monkeypatch: pytest.MonkeyPatch, uid: int, unknown: list[tuple[int | None, list[str]]], words: str
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    others = [judged("sandbox", "web-1", verdict) for verdict in ("live", "leftover", "foreign")]
    objects = [Judged(Thing("sandbox", "web-2"), "unknown", tuple(reasons), age) for age, reasons in unknown]
    assert kept_in_words([*others, *objects], 5) == (f" {words}" if words else "")
