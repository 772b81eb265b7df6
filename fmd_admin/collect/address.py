"""Client addresses as the setting IP lets them be stored."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address

#: Bits of an IPv6 address that are cut.
_CUT = 128 - 48


def anonymized(address: str) -> str:
    """Return the network of an address: /24 for IPv4, /48 for IPv6.

    An IPv4 address mapped into IPv6 counts as IPv4. What is not an address (a name given by
    get_ip, say) cannot be cut and becomes "unknown".
    """
    text = address.split("%", 1)[0]
    try:
        parsed = ip_address(text)
    except ValueError:
        return "unknown"
    if isinstance(parsed, IPv6Address):
        if parsed.ipv4_mapped is None:
            return str(IPv6Address(int(parsed) >> _CUT << _CUT))
        text = str(parsed.ipv4_mapped)
    # Python reads an IPv4 address in one way of writing only. With an ip_network it all takes
    # three times as long, and this is done while a request waits.
    return f"{text.rpartition('.')[0]}.0"
