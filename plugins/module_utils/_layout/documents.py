# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading the runtimes' JSON documents."""

from __future__ import annotations

from ansible_collections.sandboxed.containers.plugins.module_utils._basis.errors import Unreadable
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.paths import Directory
from ansible_collections.sandboxed.containers.plugins.module_utils._basis.plain_files import FileFacts, read_known_file
from ansible_collections.sandboxed.containers.plugins.module_utils._layout import go_json
from ansible_collections.sandboxed.containers.plugins.module_utils._layout.base import Document


def read_document(
    document: str,
    directory: Directory,
    name: str,
    container_id: str,
    facts: FileFacts | None,
    is_list: bool = False,
    content: bool = True,
) -> Document:
    """A document in the file of that name. Never fails: one unreadable document must not hide the others (gvisor#5052,
    field problem 31). facts: of the file as it was looked at just now, None: it was not there. content: whether what it
    says is wanted, and not only whether it can be read."""
    path = directory.join(name)
    try:
        data = read_known_file(directory, name, facts) if facts is not None else None
    except Unreadable as error:
        return Document(document, container_id, path, None, error.why, False, facts)
    if data is None:
        return Document(document, container_id, path, None, "it went away while it was read", False, facts)
    if not content:
        return Document(document, container_id, path, None, facts=facts)
    try:
        value = go_json.decode(data, path)
    except Unreadable as error:
        return Document(document, container_id, path, None, error.why, facts=facts)
    if not isinstance(value, (list, type(None)) if is_list else dict):
        problem = f"it is no JSON {'list' if is_list else 'object'}"
        return Document(document, container_id, path, None, problem, facts=facts)
    return Document(document, container_id, path, value, facts=facts)
