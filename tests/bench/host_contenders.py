# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The contenders about a whole host: the scan of a tree as if it were one, and its peers."""

from __future__ import annotations

import shlex
import sys
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from ansible_collections.sandboxed.containers.tests.bench.contenders import (
    Command,
    Contender,
    answer,
    expect,
    options_of,
)
from ansible_collections.sandboxed.containers.tests.bench.kinds import SHARED
from ansible_collections.sandboxed.containers.tests.bench.mounted import mounts
from ansible_collections.sandboxed.containers.tests.bench.payload import Payloads
from ansible_collections.sandboxed.containers.tests.bench.trees import Site

BARE_FILES = Path(__file__).with_name("bare_files.py")
MOST_MOUNTS = 20_000


def _words(site: Site, payloads: Payloads) -> list[str]:
    # What the bench has just made is not too young to be judged.
    return [sys.executable, str(payloads.file("sandbox_host_info", options_of(site, min_age=0)))]


def _check(objects: int, output: str) -> None:
    found = answer(output)
    expect(not found["problems"], f"not all could be looked at: {found['problems']}")
    counts = found["summary"]
    shown = f"{counts['leftover']} of {objects} are leftovers, of {counts['total']} that were found"
    expect(counts["leftover"] == counts["total"] == objects, f"{shown}: {found['msg'][:1000]}")


def _scan(site: Site, payloads: Payloads) -> Command:
    objects = len(site.ids) * site.kind.objects if site.kind.entries else 0
    return Command(_words(site, payloads), partial(_check, objects))


def _scan_of_mounts(site: Site, payloads: Payloads) -> Command:
    places = sorted((site.folder / SHARED).glob("*/mounts/volume-*"))[:MOST_MOUNTS]
    empty = site.folder / "empty"
    empty.mkdir(exist_ok=True)
    scan = _scan(site, payloads)
    with ExitStack() as stack:
        there = stack.enter_context(mounts(empty, places))
        return Command([*there, *scan.words], scan.check, stack.pop_all().close)
    raise AssertionError("unreachable")


def _find(site: Site, _payloads: Payloads) -> Command:
    def check(output: str) -> None:
        expect(int(output) > 0, "it read nothing")

    listing = site.folder.with_name("listing")
    find = shlex.join(["find", str(site.folder)])
    read = shlex.join([sys.executable, str(BARE_FILES), str(listing)])
    return Command(["sh", "-c", f"{find} >{shlex.quote(str(listing))} && {read}"], check)


SCAN = Contender("sandbox_host_info", _scan)
FIND = Contender("find and bare loop", _find)
# Each of the two has a tree of its own size, so that it is made anew.
LARGE_SCAN = Contender("sandbox_host_info", _scan, changes=True)
SMALL_SCAN = Contender("ten scans of a tenth", _scan, changes=True)
SCAN_OF_MOUNTS = Contender("sandbox_host_info", _scan_of_mounts)
SCAN_WITHOUT = Contender("without mounts", _scan)
SCAN_OF_NOTHING = Contender("sandbox_host_info", _scan)
