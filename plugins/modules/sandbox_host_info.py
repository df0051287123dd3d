#!/usr/bin/python
# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: sandbox_host_info
short_description: Show everything that a host keeps for its sandboxes, and what of it nobody owns
version_added: 0.1.0
author:
  - The sandboxed.containers authors (@sandboxed)
description:
  - Looks at a whole host in one pass and finds the states of sandboxes, bundles, mappings, sockets of shims, cgroups,
    virtiofsd daemons and stray processes of Kata Containers, gVisor and containerd, below the usual directories and
    those that running daemons and shims use.
  - Each object is V(live), V(leftover), V(unknown) or V(foreign), with the evidence in sentences. Leftover means that
    it is proved that nobody owns it. What cannot be read or proved is unknown.
  - Objects that share an id are tied together. As long as one of them lives, none of them is a leftover.
  - Looking changes nothing. No lock is made or waited for, and no socket is connected to.
options:
  kinds:
    description:
      - Only objects of these kinds. All kinds when omitted; an empty list is refused.
    type: list
    elements: str
    choices: [process, daemon, socket, bundle, sandbox, mapping, rootless, cgroup]
  layouts:
    description:
      - Only objects of these layouts. All layouts when omitted; an empty list is refused.
    type: list
    elements: str
    choices: [kata_store, kata_persist, kata_rs, gvisor, gvisor_legacy, containerd_v2, containerd_v1]
  patterns:
    description:
      - Only objects whose id matches one of these shell patterns. All ids when omitted; an empty list, and
        an empty text in it, are refused.
    type: list
    elements: str
  min_age:
    description:
      - An object that was changed less than this many seconds ago is unknown, and so is every object of a host that
        booted less than that ago. A sandbox that is just being created is not a leftover.
    type: float
    default: 600
  verdicts:
    description:
      - Only objects with these verdicts are in RV(objects). RV(summary) counts all.
    type: list
    elements: str
    choices: [live, leftover, unknown, foreign]
    default: [leftover, unknown]
  limit:
    description:
      - At most this many objects are in RV(objects), the leftovers first. They have room for 50 KiB of JSON, with a
        limit above 200 for 256 bytes each; where long names and paths need more, fewer are shown. So by default the
        result of a host stays below 64 KiB, however much lies there.
    type: int
    default: 200
  with_plan:
    description:
      - Return the plan that removes all selected leftovers, for M(sandboxed.containers.sandbox_prune). O(limit) does
        not cut it.
    type: bool
    default: false
extends_documentation_fragment:
  - sandboxed.containers.options
  - sandboxed.containers.options.not_locking
  - sandboxed.containers.options.not_writing
  - sandboxed.containers.options.as_root
  - sandboxed.containers.attributes.info
seealso:
  - module: sandboxed.containers.sandbox_prune
"""

EXAMPLES = r"""
- name: See what is left over on this host
  sandboxed.containers.sandbox_host_info:

- name: See every sandbox and bundle of web pods, live ones too
  sandboxed.containers.sandbox_host_info:
    kinds: [sandbox, bundle]
    patterns: ["web-*"]
    verdicts: [live, leftover, unknown]

- name: Make a plan, to be looked at and carried out later
  sandboxed.containers.sandbox_host_info:
    with_plan: true
  register: host

- name: Look at the image of a host, with options that every module of the collection takes
  module_defaults:
    group/sandboxed.containers.containers:
      host_root: /mnt/image
      sees_all_processes: true
  block:
    - name: See what is left over in the image
      sandboxed.containers.sandbox_host_info:
"""

RETURN = r"""
msg:
  description: The summary in words.
  returned: always
  type: str
  sample: >-
    3 objects: 2 live, 1 leftover. Leftover: sandbox web-1 (kata_persist), unchanged for 2 h 10 min: recorded pid 4711
    (hypervisor) is gone; no process names it. Remove leftovers with sandbox_prune scope=all_leftovers; try it with
    --check first.
summary:
  description:
    - C(total) and the number of objects by verdict; in C(by) the count and the bytes for each kind, layout and verdict.
  returned: always
  type: dict
  sample: {"total": 3, "live": 2, "leftover": 1, "unknown": 0, "foreign": 0, "by": []}
objects:
  description: The selected objects, leftovers first.
  returned: always
  type: list
  elements: dict
  contains:
    kind:
      description: >-
        V(process), V(daemon), V(socket), V(bundle), V(sandbox), V(mapping), V(rootless) (a temporary
        user of Kata's or its directory) or V(cgroup).
      type: str
      returned: always
      sample: sandbox
    layout:
      description: The layout of a sandbox or bundle.
      type: str
      returned: when it has one
      sample: kata_persist
    namespace:
      description: The namespace of a bundle.
      type: str
      returned: when it has one
      sample: k8s.io
    id:
      description: Its name; of a process that of its sandbox.
      type: str
      returned: always
      sample: web-1
    evidence:
      description: The sentences that decided.
      type: list
      elements: str
      returned: always
      sample: ["recorded pid 4711 (hypervisor) is gone", "no process names it"]
    paths:
      description: Where it lies.
      type: list
      elements: str
      returned: when it has files
      sample: [/run/vc/sbs/web-1]
    pid:
      description: The process.
      type: int
      returned: of a process
      sample: 4711
    size:
      description: Bytes in its plain files.
      type: int
      returned: when it has files
      sample: 4096
    verdict:
      description: V(live), V(leftover), V(unknown) or V(foreign).
      type: str
      returned: always
      sample: leftover
    mounts:
      description: How many mounts are in a leftover.
      type: int
      returned: when there are any
      sample: 3
    age:
      description: Seconds since its newest change.
      type: int
      returned: when it is known
      sample: 7800
truncated:
  description: Whether O(limit) has cut RV(objects).
  returned: always
  type: bool
problems:
  description: What could not be looked at, in sentences. The scan is not complete then.
  returned: always
  type: list
  elements: str
plan:
  description:
    - C(steps), each with the C(identity) of its object, for this host and this boot alone.
  returned: with O(with_plan)
  type: dict
"""

from typing import Any

from ansible_collections.sandboxed.containers.plugins.module_utils._basis import quick_imports

quick_imports.begin()

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import StateError
from ansible_collections.sandboxed.containers.plugins.module_utils._object.host_options import (
    INFO_OPTIONS,
    check_number,
    selection_of,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._object.host_report import (
    entries_of,
    in_words,
    shown,
    summary_of,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._object.host_scan import Scan, scan
from ansible_collections.sandboxed.containers.plugins.module_utils._object.task import make_task


def _plan(found: Scan, host_root: str) -> dict[str, Any]:
    from ansible_collections.sandboxed.containers.plugins.module_utils._object.host_plan import plan_of

    return plan_of(found, host_root)


def main() -> None:
    task = make_task(INFO_OPTIONS)
    try:
        selection = selection_of(task.params)
        limit = check_number(task.params, "limit")
        found = scan(selection, task.new_view())
        plan = {"plan": _plan(found, selection.host_root)} if task.params["with_plan"] else {}
    except StateError as error:
        task.fail_json(str(error))
    wanted = shown(found.objects, task.params["verdicts"])
    entries = entries_of(wanted, limit)
    task.exit_json(
        changed=False,
        msg=in_words(found, selection),
        summary=summary_of(found.objects),
        objects=entries,
        truncated=len(entries) < len(wanted),
        problems=list(found.problems),
        **plan,
    )


if __name__ == "__main__":
    main()
