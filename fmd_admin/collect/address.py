"""Client addresses as the setting IP lets them be stored."""

from __future__ import annotations

from ipaddress import ip_address, ip_network


def anonymized(address: str) -> str:
    """Return the network of an address: /24 for IPv4, /48 for IPv6.

    An IPv4 address mapped into IPv6 counts as IPv4. What is not an address (a name given by
    get_ip, say) cannot be cut and becomes "unknown".
    """
    try:
        parsed = ip_address(address.split("%", 1)[0])
    except ValueError:
        return "unknown"
    if parsed.version == 6 and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    prefix = 24 if parsed.version == 4 else 48
    return str(ip_network(f"{parsed}/{prefix}", strict=False).network_address)
