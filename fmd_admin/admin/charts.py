"""Chart.js from the CDN, and the small drawings that are made on the server."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from markupsafe import Markup

from ..errors import SettingsError
from ..settings import Settings


@dataclass(frozen=True, slots=True)
class Asset:
    """A file below the setting ASSETS_URL; ``sha384`` is of the file in its npm package."""

    path: str
    sha384: str


#: Every file in the order it has to be loaded.
ASSETS = (
    Asset(
        "chart.js@4.6.1/dist/chart.umd.min.js",
        "Emf5ZVIUiarAdhkgtqK+5/Z5qIvM6QoVrS+qAVtfyZVuD5lIHrac0me485+Antp0",
    ),
    Asset(
        "chartjs-adapter-date-fns@3.0.0/dist/chartjs-adapter-date-fns.bundle.min.js",
        "cVMg8E3QFwTvGCDuK+ET4PD341jF3W8nO1auiXfuZNQkzbUUiBGLsIQUE+b1mxws",
    ),
    Asset(
        "chartjs-chart-matrix@3.1.0/dist/chartjs-chart-matrix.min.js",
        "Hh/MCM+3iQXRFUJvnuv7MmFpbVQ3biiOR8WRrhkzCFZRwvfe4QQEix4qCHIVyWNI",
    ),
    Asset(
        "@sgratzl/chartjs-chart-boxplot@4.4.5/build/index.umd.min.js",
        "gdbF/I+Cr4dfXk+jVTKN97eXIQvJRSzhLVYTbyQEH2vXtmgEl1jeoY7PDpf4ka3A",
    ),
    Asset(
        "hammerjs@2.0.8/hammer.min.js",
        "Cs3dgUx6+jDxxuqHvVH8Onpyj2LF1gKZurLDlhqzuJmUqVYMJ0THTWpxK5Z086Zm",
    ),
    Asset(
        "chartjs-plugin-zoom@2.2.0/dist/chartjs-plugin-zoom.min.js",
        "dwwI6ICEN/0ZQlS5owhUa/6ZzvwUPmjH45bFVCAcjgjTulbHJvlE+TGU3g1k0N3R",
    ),
    Asset(
        "chartjs-plugin-annotation@3.1.0/dist/chartjs-plugin-annotation.min.js",
        "3N9GHhCtN3CQef6tNfqgZlv7sQLYIkcChN+uaTZ7xVdzKYp/SjBNPxa92+hM7EAY",
    ),
)

_HOST = re.compile(r"[A-Za-z0-9.\-]+|\[[0-9A-Fa-f:.]+\]")


@dataclass(frozen=True, slots=True)
class Script:
    """A script tag: its address and its integrity attribute."""

    src: str
    integrity: str


def scripts(settings: Settings, packages: Sequence[str]) -> list[Script]:
    """Return the scripts of ``packages`` (such as "chart.js"), in the order of ``ASSETS``.

    Raises KeyError for a package that is not in ``ASSETS``.
    """
    known = {asset.path[: asset.path.index("@", 1)]: asset for asset in ASSETS}
    wanted = {known[package] for package in packages}
    return [
        Script(settings.assets_url + asset.path, f"sha384-{asset.sha384}")
        for asset in ASSETS
        if asset in wanted
    ]


def asset_origin(settings: Settings) -> str:
    """Return the origin of ASSETS_URL for the content security policy.

    Raises SettingsError if the URL's host would not be safe to put there.
    """
    try:
        parts = urlsplit(settings.assets_url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        host, port = "", None
    shown = f"[{host}]" if ":" in host else host
    if not _HOST.fullmatch(shown):
        raise SettingsError(
            f"Setting ASSETS_URL is {settings.assets_url!r}: its host is not understood. "
            "Example: https://cdn.jsdelivr.net/npm/"
        )
    return f"{parts.scheme}://{shown}" + ("" if port is None else f":{port}")


def sparkline(values: Sequence[int], label: str, *, width: int = 84, height: int = 22) -> Markup:
    """Return a line of ``values`` as inline SVG (attributes only: the CSP forbids styles)."""
    peak = max(values, default=0)
    if len(values) < 2 or peak == 0:
        points = f"1,{height - 2} {width - 1},{height - 2}"
        kind = "spark spark-flat"
    else:
        step = (width - 2) / (len(values) - 1)
        points = " ".join(
            f"{1 + index * step:.1f},{2 + (height - 4) * (1 - value / peak):.1f}"
            for index, value in enumerate(values)
        )
        kind = "spark"
    return Markup(
        '<svg class="{}" width="{}" height="{}" viewBox="0 0 {} {}" role="img" aria-label="{}">'
        '<polyline points="{}"/></svg>'
    ).format(kind, width, height, width, height, label, points)


def share_bar(share: float) -> Markup:
    """Return a bar that is filled to ``share`` (0 to 1). Decoration: the number stands beside."""
    filled = 100 * min(max(share, 0.0), 1.0)
    # The smallest share is still a dot, nothing at all is not.
    shown = max(filled, 4.0) if filled > 0 else 0.0
    return Markup(
        '<svg class="share" viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true">'
        '<rect class="share-track" width="100" height="8"/>'
        '<rect class="share-fill" width="{}" height="8"/></svg>'
    ).format(f"{shown:.1f}")
