# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The rows of the bench. A new one is one entry here."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from ansible_collections.sandboxed.containers.tests.bench import contenders, fleet_contenders, host_contenders
from ansible_collections.sandboxed.containers.tests.bench.contenders import Contender
from ansible_collections.sandboxed.containers.tests.bench.kinds import (
    BUNDLE,
    EMPTY_HOST,
    GVISOR,
    HOST,
    HOST_WITH_VOLUMES,
    NO_KATA,
    NO_MAPPING,
    SMALL_KATA,
    WHOLE_KATA,
)
from ansible_collections.sandboxed.containers.tests.bench.trees import Kind
from ansible_collections.sandboxed.containers.tests.lab import fleet

KIB, MB = 1024, 1_000_000


class Row(NamedTuple):
    """One comparison.

    what: the work, {count} is the number of objects. how_much: more about it, {tree} is its files and directories.
    runs: of each side, in turn. faster: tell how many times faster ours is. goal: the ratio to reach, None: reported
    only. peak_goal: bytes of memory; peak_ratio: as times the peer's. printed_goal: bytes of output. peer_count: what
    the peer is timed with, where that is a part of the work. fewest: in a quick run. lacks: why it cannot be run here.
    """

    key: str
    what: str
    kind: Kind
    sandboxes: int
    ours: Contender
    peer: Contender
    runs: int
    goal: float | None = None
    how_much: str = "{tree}"
    faster: bool = False
    peak_goal: int | None = None
    peak_ratio: float | None = None
    printed_goal: int | None = None
    peer_count: int | None = None
    fewest: int = 20
    lacks: Callable[[], str] = lambda: ""

    def quick(self) -> Row:
        """Small counts and one run: to see that it works, its figures mean nothing."""
        return self._replace(
            sandboxes=min(self.sandboxes, self.fewest),
            runs=1,
            peer_count=None if self.peer_count is None else min(self.peer_count, 2),
        )


ROWS = (
    Row(
        "kata-remove-10000",
        "remove {count} Kata sandboxes",
        SMALL_KATA,
        10_000,
        contenders.REMOVAL,
        contenders.RM,
        runs=5,
        goal=2.0,
    ),
    Row(
        "kata-remove-50000",
        "remove {count} Kata sandboxes",
        SMALL_KATA,
        50_000,
        contenders.REMOVAL,
        contenders.RM,
        runs=3,
        goal=1.5,
    ),
    Row(
        "kata-remove-whole",
        "remove {count} whole Kata sandboxes",
        WHOLE_KATA,
        10_000,
        contenders.REMOVAL,
        contenders.RM,
        runs=3,
    ),
    Row(
        "gvisor-remove-10000",
        "remove {count} gVisor states",
        GVISOR,
        10_000,
        contenders.REMOVAL,
        contenders.RM,
        runs=3,
    ),
    Row(
        "bundle-remove-10000",
        "remove {count} bundles of containerd",
        BUNDLE,
        10_000,
        contenders.BUNDLE_REMOVAL,
        contenders.RM,
        runs=3,
        goal=2.5,
    ),
    Row(
        "kata-playbook-1000",
        "remove {count} Kata sandboxes by a playbook",
        SMALL_KATA,
        1_000,
        contenders.TASK,
        contenders.LOOPED_FILE,
        runs=3,
        goal=100,
        how_much="one task",
        faster=True,
        peer_count=50,
    ),
    Row(
        "no-change-absent",
        "find that nothing is to be removed",
        NO_KATA,
        1,
        contenders.ABSENT_ALREADY,
        contenders.PINGED,
        runs=15,
        goal=1.35,
        how_much="one Kata sandbox, as shipped",
    ),
    Row(
        "no-change-present",
        "find that nothing is to be written",
        SMALL_KATA,
        1,
        contenders.PRESENT_ALREADY,
        contenders.PINGED,
        runs=15,
        how_much="one Kata sandbox, as shipped",
    ),
    Row(
        "kata-info-10000",
        "look at {count} whole Kata sandboxes",
        WHOLE_KATA,
        10_000,
        contenders.LOOK,
        contenders.LOOP,
        runs=5,
        goal=2.0,
        peak_goal=150 * MB,
    ),
    Row(
        "kata-info-documents",
        "the same, with documents",
        WHOLE_KATA,
        10_000,
        contenders.LOOK_INSIDE,
        contenders.LOOP,
        runs=3,
    ),
    Row(
        "bundle-info-10000",
        "look at {count} bundles of containerd",
        BUNDLE,
        10_000,
        contenders.LOOK_AT_BUNDLES,
        contenders.LOOP,
        runs=3,
        goal=2.0,
    ),
    Row(
        "mapping-create-10000",
        "make {count} mappings",
        NO_MAPPING,
        10_000,
        contenders.MAP,
        contenders.MKDIRS,
        runs=5,
        goal=2.5,
        how_much="two directories each, one task",
    ),
    Row(
        "host-scan-find",
        "scan a host with {count} sandboxes, bundles and mappings",
        HOST,
        2_500,
        host_contenders.SCAN,
        host_contenders.FIND,
        runs=5,
        goal=1.5,
        peak_goal=200 * MB,
        printed_goal=64 * KIB,
    ),
    Row(
        "host-scan-size",
        "scan a host with {count} sandboxes, bundles and mappings",
        HOST,
        25_000,
        host_contenders.LARGE_SCAN,
        host_contenders.SMALL_SCAN,
        runs=3,
        goal=1.1,
        peer_count=2_500,
    ),
    Row(
        "host-scan-mounts",
        "scan {count} of them, with 20,000 mounts in leftovers",
        HOST_WITH_VOLUMES,
        2_500,
        host_contenders.SCAN_OF_MOUNTS,
        host_contenders.SCAN_WITHOUT,
        runs=5,
        goal=1.3,
    ),
    Row(
        "host-scan-empty",
        "scan an empty host",
        EMPTY_HOST,
        1,
        host_contenders.SCAN_OF_NOTHING,
        contenders.PINGED,
        runs=15,
        goal=1.5,
        how_much="as shipped",
    ),
    Row(
        "fleet-audit-50",
        "audit a fleet of {count} hosts",
        EMPTY_HOST,
        50,
        fleet_contenders.AUDITED,
        fleet_contenders.FLEET_PINGED,
        runs=3,
        goal=1.3,
        how_much="over SSH, 5 forks",
        peak_ratio=1.3,
        fewest=2,
        lacks=fleet.available,
    ),
)
