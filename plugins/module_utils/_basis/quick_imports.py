# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Compile each file of a module once: a module begins with this, before it imports all else of this collection.

Ansible sends a module and what it imports as one zip archive (AnsiballZ) without compiled files. Python's zipimport
compiles a file to say what it is called (`get_filename`, which each import asks), throws that away and compiles it once
more to run it, which costs a task that finds nothing to do a tenth of its time. Here the name is told from the
directory of the archive. Only this process's imports from this archive are led here, and nothing else differs.
"""

from __future__ import annotations

import sys
from zipimport import ZipImportError, zipimporter

_LOADER = getattr(__spec__, "loader", None)
_ARCHIVE = _LOADER.archive if isinstance(_LOADER, zipimporter) else ""


class QuickImporter(zipimporter):
    """Imports from the archive that this file is in; any other is refused and left to who comes next."""

    def __init__(self, path: str) -> None:
        """path: an entry of a module search path. Raises ZipImportError where it is of no concern here."""
        if not f"{path}/".startswith(f"{_ARCHIVE}/"):
            raise ZipImportError(f"not in {_ARCHIVE}", path=path)
        super().__init__(path)

    def get_filename(self, fullname: str) -> str:
        """The path of a module's file, as zipimport tells it. Raises ZipImportError where there is no such module."""
        path = f"{self.archive}/{self.prefix}{fullname.rpartition('.')[2]}"
        return f"{path}/__init__.py" if self.is_package(fullname) else f"{path}.py"


def begin() -> None:
    """Import from the archive of this module in that way from now on; without one nothing changes."""
    if not _ARCHIVE:
        return
    sys.path_hooks.insert(0, QuickImporter)
    for entry, importer in list(sys.path_importer_cache.items()):
        if isinstance(importer, zipimporter) and importer.archive == _ARCHIVE:
            del sys.path_importer_cache[entry]
