from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_network
from random import Random

import pytest

from fmd_admin.collect.address import anonymized


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("192.0.2.77", "192.0.2.0"),
        ("::ffff:192.0.2.77", "192.0.2.0"),
        ("2001:db8:1:2:3::4", "2001:db8:1::"),
        ("fe80::1%eth0", "fe80::"),
        ("::ffff:192.0.2.77%1", "192.0.2.0"),
        ("192.0.2.77%eth0", "192.0.2.0"),
        ("192.0.2.077", "unknown"),
        (" 192.0.2.77", "unknown"),
        ("anna's phone", "unknown"),
        ("", "unknown"),
    ],
)
def test_networks(address: str, expected: str) -> None:
    assert anonymized(address) == expected


def test_against_the_library() -> None:
    random = Random(1)
    addresses: list[IPv4Address | IPv6Address] = [IPv4Address(0), IPv4Address(2**32 - 1)]
    addresses += [IPv6Address(0), IPv6Address(2**128 - 1), IPv6Address("::ffff:0:0")]
    addresses += [IPv4Address(random.getrandbits(32)) for _ in range(200)]
    addresses += [IPv6Address(random.getrandbits(128)) for _ in range(200)]
    for address in addresses:
        real = getattr(address, "ipv4_mapped", None) or address
        network = ip_network((real, 24 if real.version == 4 else 48), strict=False)
        assert anonymized(str(address)) == str(network.network_address)
