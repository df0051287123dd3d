# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a step of the demo is expected to show, and what is raised where it does not."""

from __future__ import annotations


class Unexpected(Exception):
    """A step came out otherwise than it should; the text says how."""


def expect(holds: bool, otherwise: str) -> None:
    """Raise Unexpected unless a step came out as it should."""
    if not holds:
        raise Unexpected(otherwise)
