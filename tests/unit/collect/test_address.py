from __future__ import annotations

import pytest

from fmd_admin.collect.address import anonymized


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("192.0.2.77", "192.0.2.0"),
        ("::ffff:192.0.2.77", "192.0.2.0"),
        ("2001:db8:1:2:3::4", "2001:db8:1::"),
        ("fe80::1%eth0", "fe80::"),
        ("anna's phone", "unknown"),
        ("", "unknown"),
    ],
)
def test_networks(address: str, expected: str) -> None:
    assert anonymized(address) == expected
