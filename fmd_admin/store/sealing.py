"""Credentials of alert targets: sealed with a key that is not in the database, or not in it at all.

``env:NAME`` stands for what the environment holds under that name.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
from typing import Any

from ..errors import AlertError

ENV = "env:"
_LABEL = b"fmd_admin alert targets"


def seal(text: str, key: bytes) -> str:
    """Return ``text`` as it may be stored. Raises AlertError where nothing can encrypt it."""
    if text.startswith(ENV):
        return text
    return str(_cipher(key).encrypt(text.encode()).decode())


def unseal(stored: str, key: bytes) -> str:
    """Return what was sealed. Raises AlertError, whose message says the mend."""
    if stored.startswith(ENV):
        name = stored.removeprefix(ENV)
        found = os.environ.get(name)
        if not found:
            raise AlertError(f"The environment variable {name} is not set. Set it for the app.")
        return found
    from cryptography.fernet import InvalidToken

    try:
        return str(_cipher(key).decrypt(stored.encode()).decode())
    except InvalidToken:
        raise AlertError(
            "The address cannot be decrypted: the app's secret key is another one than when it "
            "was entered, or a panel of its own stored it. Enter it again in the app's panel, or "
            "use env:NAME."
        ) from None


def _cipher(key: bytes) -> Any:
    try:
        from cryptography.fernet import Fernet
    except ImportError:
        raise AlertError(
            "An address is only stored encrypted, which needs: pip install 'fmd_admin[alerts]'. "
            "Or put it into the environment, and enter env:NAME."
        ) from None
    derived = hmac.new(key, _LABEL, hashlib.sha256).digest()
    return Fernet(base64.urlsafe_b64encode(derived))
