#!/usr/bin/python
# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: container_id_mapping
short_description: Create, repair or remove Kata 1.x's mappings of containers to sandboxes
version_added: 0.1.0
author:
  - The sandboxed.containers authors (@sandboxed)
description:
  - Manages the directories by which the command line of Kata Containers 1.x finds the sandbox of a container.
  - A mapping is made, and led to another sandbox, in one step, so that no reader ever finds none.
  - A mapping that a crash has left without a sandbox, for which Kata refuses the container, is completed or removed.
options:
  state:
    description:
      - V(present) makes sure that the container leads to the sandbox, V(absent) that it has no mapping.
    type: str
    choices: [present, absent]
    default: present
  container_id:
    description:
      - Exact name of the container. With O(state=absent) also a list of names, or a text with commas.
      - Quote names that look like numbers. An empty list means none, nothing changes. Required unless O(mappings) is
        given.
    type: raw
  sandbox_id:
    description:
      - Exact name of the sandbox. Needed with O(state=present).
    type: raw
  mappings:
    description:
      - Many mappings in one task.
    type: list
    elements: dict
    suboptions:
      container_id:
        description: See O(container_id).
        type: raw
        required: true
      sandbox_id:
        description: See O(sandbox_id).
        type: raw
  root:
    description:
      - The directory of the mappings, C(/var/run/kata-containers/containers-mapping) below O(host_root) when omitted.
        For a rootless Kata the same below C($XDG_RUNTIME_DIR).
    type: path
  remap:
    description:
      - Lead a container that leads to another sandbox, or to several, to this one. Refused otherwise.
    type: bool
    default: false
extends_documentation_fragment:
  - sandboxed.containers.options
  - sandboxed.containers.options.locking
  - sandboxed.containers.options.writing
  - sandboxed.containers.options.as_root
  - sandboxed.containers.attributes
notes:
  - A mapping neither goes nor leads elsewhere while the sandbox that it leads to lives in Kata's store, or may live.
seealso:
  - module: sandboxed.containers.container_id_mapping_info
  - module: sandboxed.containers.sandbox_state
"""

EXAMPLES = r"""
- name: Lead a container to its sandbox
  sandboxed.containers.container_id_mapping:
    container_id: sidecar-1
    sandbox_id: web-1

- name: Remove the mappings of containers that are gone
  sandboxed.containers.container_id_mapping:
    container_id: [old-1, old-2]
    state: absent

- name: Lead many containers in one task, also those that lead to other sandboxes
  sandboxed.containers.container_id_mapping:
    remap: true
    mappings:
      - container_id: sidecar-1
        sandbox_id: web-1
      - container_id: old-1
        sandbox_id: web-2
"""

RETURN = r"""
msg:
  description: What was done, or in check mode would be, in words. Where something failed, which and why.
  returned: always
  type: str
  sample: 1 mapping created.
mappings:
  description: What was done to each mapping, in the order of the options.
  returned: always
  type: list
  elements: dict
  contains:
    container_id:
      description: Name of the container.
      type: str
      returned: always
      sample: sidecar-1
    sandbox_id:
      description: The sandbox that it leads to, or led to.
      type: str
      returned: when there is one
      sample: web-1
    paths:
      description: Its directory.
      type: list
      elements: str
      returned: always
      sample: [/run/kata-containers/containers-mapping/sidecar-1]
    action:
      description: V(created), V(updated), V(deleted), V(unchanged) or V(failed).
      type: str
      returned: always
      sample: created
    msg:
      description: Why it failed and the way out.
      type: str
      returned: when there is something to say
      sample: >-
        Mapping of container 'sidecar-1': it leads to sandbox web-2. Set remap=true to lead it to web-1. Nothing was
        changed.
"""

from ansible_collections.sandboxed.containers.plugins.module_utils._basis import quick_imports

quick_imports.begin()

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import StateError
from ansible_collections.sandboxed.containers.plugins.module_utils._object.change_task import change_items
from ansible_collections.sandboxed.containers.plugins.module_utils._object.mapping_options import (
    MAPPING_OPTIONS,
    items_of,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._object.task import make_task


def main() -> None:
    excluding = [("mappings", option) for option in ("container_id", "sandbox_id")]
    task = make_task(MAPPING_OPTIONS, mutually_exclusive=excluding)
    try:
        items = items_of(task.params)
    except StateError as error:
        task.fail_json(str(error))
    change_items(task, "mappings", items)


if __name__ == "__main__":
    main()
