# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The lab: fetch and run the real runtimes for tests and for the demo, without installing them.

Only the standard library is used. Everything is unpacked below the git-ignored folder ``.lab`` of the checkout; nothing
outside it changes.
"""
