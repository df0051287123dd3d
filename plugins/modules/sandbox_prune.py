#!/usr/bin/python
# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: sandbox_prune
short_description: Remove what provably nobody owns of all that a host keeps for its sandboxes
version_added: 0.1.0
author:
  - The sandboxed.containers authors (@sandboxed)
description:
  - Looks at a whole host as M(sandboxed.containers.sandbox_host_info) does, and removes leftovers and nothing else, in
    an order that is safe at every point.
  - Right before an object is removed, under the runtime's own lock, it is looked at once more with all that it is tied
    to. What is no leftover any more, or is locked by somebody, is skipped with the reason. No lock is waited for.
  - Where an engine or kubelet runs and no live object at all was found, the run is refused, since something is hidden
    from it.
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
  plan:
    description:
      - A plan of M(sandboxed.containers.sandbox_host_info). Only what it names is removed, and only where it still is
        the same, or is what a killed run has left of it. One of another host or boot is refused whole, and so is an
        empty dictionary.
        A plan without steps removes nothing.
    type: dict
  scope:
    description:
      - V(all_leftovers) removes all selected leftovers. Exactly one of O(scope) and O(plan) is needed.
    type: str
    choices: [all_leftovers]
  max_removals:
    description:
      - If more objects than this would be removed, the run fails before the first removal. V(0) means no limit.
    type: int
    default: 1000
  on_mounted:
    description:
      - V(unmount) unmounts what is mounted in a leftover first. With V(refuse) such a leftover is skipped.
    type: str
    choices: [refuse, unmount]
    default: refuse
  stop_processes:
    description:
      - End leftover processes. They are skipped otherwise.
    type: bool
    default: false
extends_documentation_fragment:
  - sandboxed.containers.options
  - sandboxed.containers.options.not_locking
  - sandboxed.containers.options.writing
  - sandboxed.containers.options.as_root
  - sandboxed.containers.attributes
seealso:
  - module: sandboxed.containers.sandbox_host_info
"""

EXAMPLES = r"""
- name: Remove what provably nobody owns
  sandboxed.containers.sandbox_prune:
    scope: all_leftovers
    min_age: 3600
    on_mounted: unmount

- name: Remove the leftovers of web pods, at most ten
  sandboxed.containers.sandbox_prune:
    scope: all_leftovers
    patterns: ["web-*"]
    max_removals: 10
"""

RETURN = r"""
msg:
  description:
    - What was done, in words; with O(scope) also how many of the selected objects were kept since they are unknown,
      with the main reason.
  returned: always
  type: str
  sample: >-
    5 leftovers removed (2 bundles, 3 sandboxes). 2 unknown were kept (changed less than min_age=600 s ago);
    sandbox_host_info shows them. 1 skipped: see msg of each in objects.
objects:
  description: What was done to each leftover.
  returned: always
  type: list
  elements: dict
  contains:
    kind:
      description: >-
        V(process), V(daemon), V(socket), V(bundle), V(sandbox), V(mapping), V(rootless) (a temporary
        user's directory) or V(cgroup).
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
    action:
      description: V(deleted), V(unchanged), V(skipped) or V(failed).
      type: str
      returned: always
      sample: deleted
    msg:
      description: Why it was skipped or failed, and the way out.
      type: str
      returned: when there is something to say
problems:
  description: What could not be looked at, in sentences. The scan was not complete then.
  returned: always
  type: list
  elements: str
plan:
  description: What is to be done, as M(sandboxed.containers.sandbox_host_info) tells it.
  returned: in check mode
  type: dict
"""

from ansible_collections.sandboxed.containers.plugins.module_utils._basis import quick_imports

quick_imports.begin()

from ansible_collections.sandboxed.containers.plugins.module_utils._object.host_options import PRUNE_OPTIONS
from ansible_collections.sandboxed.containers.plugins.module_utils._object.host_task import prune
from ansible_collections.sandboxed.containers.plugins.module_utils._object.task import make_task


def main() -> None:
    prune(make_task(PRUNE_OPTIONS))


if __name__ == "__main__":
    main()
