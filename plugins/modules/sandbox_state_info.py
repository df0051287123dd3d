#!/usr/bin/python
# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: sandbox_state_info
short_description: Show the on-host state of sandboxes, and whether anybody still owns it
version_added: 0.1.0
author:
  - The sandboxed.containers authors (@sandboxed)
description:
  - Shows what a sandboxed container runtime keeps of its sandboxes on a host, which processes own it, and what
    follows from that.
  - Looking changes nothing. No file is made, and nothing is connected to. Where the runtime has a lock that it waits
    for, the state is read under that lock, shared and for a moment.
options:
  layout:
    description:
      - Which runtime generation keeps the state. See M(sandboxed.containers.sandbox_state).
    type: str
    choices: [kata_store, kata_persist, kata_rs, gvisor, gvisor_legacy]
    required: true
  sandbox_id:
    description:
      - Exact name of a sandbox, a list of names, or a text with commas. The names of V(gvisor_legacy) may have one
        themselves, and only a list means several there.
      - All sandboxes when omitted, none with an empty list.
    type: raw
  container_id:
    description:
      - Show only this container. Needs exactly one O(sandbox_id).
    type: raw
  run_root:
    description:
      - The directory that the runtime keeps its state in. See O(sandboxed.containers.sandbox_state#module:run_root).
    type: path
  config_root:
    description:
      - With V(kata_store), the directory of the configurations, C(/var/lib/vc) below O(host_root) when omitted.
    type: path
  with_documents:
    description:
      - Return the contents of the documents as well. Values of environment variables, passwords, tokens and keys
        are masked.
    type: bool
    default: false
extends_documentation_fragment:
  - sandboxed.containers.options
  - sandboxed.containers.options.locking
  - sandboxed.containers.options.not_writing
  - sandboxed.containers.options.as_root
  - sandboxed.containers.attributes.info
seealso:
  - module: sandboxed.containers.sandbox_state
"""

EXAMPLES = r"""
- name: Look at all gVisor sandboxes of this host
  sandboxed.containers.sandbox_state_info:
    layout: gvisor
  register: host

- name: Show what nobody owns any more
  ansible.builtin.debug:
    msg: "{{ host.sandboxes | selectattr('verdict', 'equalto', 'leftover') | map(attribute='sandbox_id') | list }}"

- name: Look at what Kata 1.x has left on this host
  sandboxed.containers.sandbox_state_info:
    layout: kata_store
  register: old

- name: Look into one sandbox
  sandboxed.containers.sandbox_state_info:
    layout: gvisor
    sandbox_id: web-1
    with_documents: true
"""

RETURN = r"""
msg:
  description: The summary in words.
  returned: always
  type: str
  sample: "2 sandboxes: 1 live, 1 leftover. Leftover: web-2 (recorded pid 4711 (sandbox) is gone; no process names
  it)."
sandboxes:
  description: One entry for each sandbox, sorted by name, or in the order in which they were given.
  returned: always
  type: list
  elements: dict
  contains:
    sandbox_id:
      description: Name of the sandbox.
      type: str
      returned: always
      sample: web-1
    container_id:
      description: Name of the container.
      type: str
      returned: when it was given
      sample: sidecar-1
    layout:
      description: The runtime generation.
      type: str
      returned: always
      sample: gvisor
    exists:
      description: Whether anything of it is on disk.
      type: bool
      returned: always
    verdict:
      description: V(live), V(leftover) or V(unknown).
      type: str
      returned: when it exists
      sample: leftover
    evidence:
      description: What decided, in sentences.
      type: list
      elements: str
      returned: when it exists
      sample: ["recorded pid 4711 (sandbox) is gone", "no process names it"]
    paths:
      description: Everything that it has on disk.
      type: list
      elements: str
      returned: when it exists and could be read
    missing:
      description: File names, or paths, that a whole sandbox would have and this one has not.
      type: list
      elements: str
      returned: when something is missing
    beside:
      description:
        - What belongs to it beside its state, each with its C(kind) (V(share), V(vm), V(firecracker), V(jail) or
          V(initdata)), its C(path), and as C(mounts) what is mounted there.
      type: list
      elements: dict
      returned: when there is any
      sample: [{"kind": "vm", "path": "/run/vc/vm/web-1"}]
    documents:
      description: The documents of the sandbox itself, by name, where there are such beside those of its containers.
      type: dict
      returned: with O(with_documents), when there are any
    age:
      description: Seconds since its newest change, null when the clock was stepped.
      type: int
      returned: when it exists and could be read
    size:
      description: Bytes of its files.
      type: int
      returned: when it exists and could be read
    containers:
      description:
        - Its containers, each with C(container_id), where there are any C(problems), and with O(with_documents),
          C(documents).
      type: list
      elements: dict
      returned: when it exists and could be read
"""

from ansible_collections.sandboxed.containers.plugins.module_utils._basis import quick_imports

quick_imports.begin()

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import StateError
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.registry import LAYOUTS
from ansible_collections.sandboxed.containers.plugins.module_utils._object.info_words import in_words
from ansible_collections.sandboxed.containers.plugins.module_utils._object.sandbox_report import report_all
from ansible_collections.sandboxed.containers.plugins.module_utils._object.sandbox_selection import (
    INFO_OPTIONS,
    roots_of,
    selection_of,
)
from ansible_collections.sandboxed.containers.plugins.module_utils._object.task import budget_of, make_task
from ansible_collections.sandboxed.containers.plugins.module_utils._object.tree import Tree


def main() -> None:
    task = make_task(INFO_OPTIONS)
    layout = LAYOUTS[task.params["layout"]]
    try:
        selection = selection_of(task.params, layout)
        tree = Tree(layout, task.params["host_root"], roots_of(task.params, layout))
        entries = report_all(tree, selection, task.new_view(), budget_of(task), task.params["with_documents"])
    except StateError as error:
        task.fail_json(str(error))
    task.exit_json(changed=False, msg=in_words(entries, "sandbox", "sandbox_id"), sandboxes=entries)


if __name__ == "__main__":
    main()
