# Copyright: (c) 2026, the sandboxed.containers authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Masks secrets before anything leaves the module: diffs, evidence, results, log lines (promise 8)."""

from __future__ import annotations

import re
from typing import Any

MASK = "********"
# The last words of compound names: db_password, apiKey, --registry-token. "compass" and "keyboard" are none of them.
_WORDS = r"pass|passwd|password|passphrase|secret|token|tokens|credential|credentials"
_KEYS = r"(?:api|private|access|auth|encryption|signing|ssl|tls)[_-]?key"
_SECRET_KEY = rf"(?:^|[^a-z])(?:{_WORDS})$|(?:passw(?:or)?d|secret|token|{_KEYS})$"
_SECRET_FLAG = rf"{_SECRET_KEY}|(?:^|[-_])key$"
_NEEDED = ("pass", "secret", "token", "credential", "key")  # without one of these a name is none of both
_ARGUMENT = r"(?P<flag>-{0,2}[A-Za-z0-9_.-]+)(?P<sep>[=:])(?P<value>.*)$"
_ENVIRONMENT_KEYS = ("env", "envs", "environ", "environment")
_ARGUMENTS_KEYS = ("args", "extra_args", "argv", "cmd", "command", "entrypoint")
_COMMAND_KEY = "on_quit"  # a whole command line in one text


def masked(value: Any, key: str = "") -> Any:
    """A copy of a JSON value in which no value of an environment variable, password, token or key is left."""
    lowered = key.casefold().strip()
    if lowered in _ENVIRONMENT_KEYS:
        return _masked_environment(value)
    if _is_secret(lowered, _SECRET_KEY):
        return _blank(value)
    if isinstance(value, dict):
        return {name: masked(element, str(name)) for name, element in value.items()}
    if isinstance(value, list):
        if lowered in _ARGUMENTS_KEYS and all(isinstance(element, str) for element in value):
            return masked_arguments(value)
        return [masked(element) for element in value]
    if isinstance(value, str) and key == _COMMAND_KEY:
        return " ".join(masked_arguments(value.split(" ")))
    return value


def _is_secret(lowered: str, pattern: str) -> bool:
    """Patterns cost more to compile than all that most tasks have to say, so names are sifted first."""
    return any(word in lowered for word in _NEEDED) and re.search(pattern, lowered) is not None


def _blank(value: Any) -> Any:
    """Every value below a secret key is one; what says nothing (null, a boolean, an empty text) stays readable."""
    if isinstance(value, dict):
        return {name: _blank(element) for name, element in value.items()}
    if isinstance(value, list):
        return [_blank(element) for element in value]
    return value if value is None or isinstance(value, bool) or value == "" else MASK


def _masked_environment(value: Any) -> Any:
    if isinstance(value, dict):
        return dict.fromkeys(value, MASK)
    if isinstance(value, list):
        return [_masked_variable(element) for element in value]
    return value if value is None else _masked_variable(value)


def masked_arguments(arguments: list[str] | tuple[str, ...]) -> list[str]:
    """A command line whose secrets are masked: --password=X, --token X, NAME_SECRET=X."""
    shown: list[str] = []
    secret_follows = False
    for argument in arguments:
        match = re.match(_ARGUMENT, argument, re.S)
        if secret_follows and not argument.startswith("--"):
            shown.append(MASK)
            secret_follows = False
            continue
        secret_follows = False
        if match and _is_secret(match["flag"].casefold(), _SECRET_FLAG):
            shown.append(f"{match['flag']}{match['sep']}{MASK}")
            continue
        shown.append(argument)
        secret_follows = argument.startswith("-") and _is_secret(argument.casefold(), _SECRET_FLAG)
    return shown


def _masked_variable(variable: Any) -> Any:
    """A NAME=value text, or the {"name": …, "value": …} form of the CRI, without its value."""
    if isinstance(variable, str):
        return f"{variable.split('=', 1)[0]}={MASK}"
    if isinstance(variable, dict):
        return {key: element if key.lower() in ("name", "var") else MASK for key, element in variable.items()}
    return MASK
