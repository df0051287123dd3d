# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The contenders about a fleet: a playbook on many hosts over SSH, and what the controller takes for it."""

from __future__ import annotations

import json
from functools import partial

from ansible_collections.sandboxed.containers.tests.bench.contenders import Command, Contender, expect
from ansible_collections.sandboxed.containers.tests.bench.payload import PING, BenchFailure, Payloads
from ansible_collections.sandboxed.containers.tests.bench.trees import Site
from ansible_collections.sandboxed.containers.tests.lab import fleet
from ansible_collections.sandboxed.containers.tests.lab.fleet import Fleet
from ansible_collections.sandboxed.containers.tests.lab.packages import Unavailable

AUDIT = "sandboxed.containers.audit"


def _on_all(hosts: Fleet, head: str, output: str) -> None:
    counts = fleet.recap(output)
    done = {name for name, one in counts.items() if one["ok"] and not one["failed"] and not one["unreachable"]}
    expect(done == set(hosts.hosts) and head in output, f"not on all hosts: {output[-1000:]}")


def _fleet(site: Site) -> Fleet:
    try:
        return Fleet(len(site.ids))
    except Unavailable as exc:
        raise BenchFailure(str(exc)) from exc


def _audit(site: Site, _payloads: Payloads) -> Command:
    hosts = _fleet(site)
    count = len(site.ids)
    return Command(hosts.command(AUDIT), partial(_on_all, hosts, f"{count} hosts: {count} clean"), hosts.close)


def _ping(site: Site, _payloads: Payloads) -> Command:
    hosts = _fleet(site)
    playbook = hosts.folder / "ping.yml"
    play = {"hosts": "all", "gather_facts": False, "tasks": [{"name": "Ping", PING: {}}]}
    playbook.write_text(json.dumps([play]), encoding="utf-8")  # JSON is YAML
    return Command(hosts.command(str(playbook)), partial(_on_all, hosts, "Ping"), hosts.close)


# Each run has hosts of its own: what Ansible and Python leave on a host would make the second one faster.
AUDITED = Contender("audit", _audit)
FLEET_PINGED = Contender("ping", _ping)
