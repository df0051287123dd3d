# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading the runtimes' JSON documents."""

from __future__ import annotations

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.atomic_files import read_file
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import Unreadable
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.paths import Directory
from ansible_collections.sandboxed.containers.plugins.module_utils._layout import go_json
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.base import Document


def read_document(document: str, directory: Directory, name: str, container_id: str, is_list: bool = False) -> Document:
    """A document in the file of that name. Never fails: one unreadable document must not hide the others
    (gvisor#5052, field problem 31)."""
    path = directory.join(name)
    try:
        data = read_file(directory, name)
    except Unreadable as error:
        return Document(document, container_id, path, None, error.why, readable=False)
    if data is None:
        return Document(document, container_id, path, None, "it went away while it was read", readable=False)
    try:
        content = go_json.decode(data, path)
    except Unreadable as error:
        return Document(document, container_id, path, None, error.why)
    wanted = (list, type(None)) if is_list else (dict,)
    if not isinstance(content, wanted):
        return Document(document, container_id, path, None, f"it is no JSON {'list' if is_list else 'object'}")
    return Document(document, container_id, path, content)
