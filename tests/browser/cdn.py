"""Stands in for the CDN in a browser, with the files from the npm packages.

The tests have no CDN, but the browser must see the addresses, headers and bytes that it would get
there, or its integrity checks refuse the files.
"""

from __future__ import annotations

import base64
import hashlib
import shutil
import ssl
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from fmd_admin.admin.charts import ASSETS, Asset

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, Page, Route

CDN_URL = "https://cdn.jsdelivr.net/npm/"
#: The accessibility checker that tests put into pages; no page loads it by itself.
AXE = Asset(
    "axe-core@4.14.1/axe.min.js",
    "xt1SFg49QaDwsyt0Xfs2XAyBtYPClXl3X2q5OOLeGAUmq9jZTYIMdztpF99WdhiH",
)
FETCHING_S = 300


class CDNError(Exception):
    """The files of the CDN cannot be had here; the message says why."""


def assets(wanted: Sequence[Asset] = ASSETS) -> dict[str, bytes]:
    """Return the content of all ``wanted`` by their path, from a cache or with ``npm pack``.

    The cache is a temporary folder of this list of files. Every file is held against its hash
    each time, and written in one step, so that several processes may do this at once.
    """
    version = hashlib.sha256(repr(wanted).encode()).hexdigest()[:12]
    folder = Path(tempfile.gettempdir()) / f"fmd-admin-cdn-{version}"
    missing = [asset for asset in wanted if _read(folder, asset) is None]
    if missing:
        _fetch(folder, missing)
    return {asset.path: _checked(folder, asset) for asset in wanted}


def answer(page: Page | BrowserContext, files: Mapping[str, bytes], url: str = CDN_URL) -> None:
    """Answer everything below ``url`` from ``files``; 404 for what is not there."""

    def handle(route: Route) -> None:
        content = files.get(route.request.url.removeprefix(url))
        if content is None:
            route.fulfill(status=404, body="")
            return
        # Without this header the browser may not compare the hash, and refuses the file.
        headers = {"Access-Control-Allow-Origin": "*", "Content-Type": "application/javascript"}
        route.fulfill(status=200, headers=headers, body=content)

    page.route(f"{url}**", handle)


@contextmanager
def serve(files: Mapping[str, bytes]) -> Iterator[list[str]]:
    """Serve ``files`` as the CDN does; gives the arguments for a Chromium that goes there.

    Unlike :func:`answer` this leaves the browser its cache, as it is at its users.
    """
    from ..support import serve

    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        content = files.get(environ["PATH_INFO"].removeprefix("/npm/"))
        start_response(
            "404 NOT FOUND" if content is None else "200 OK",
            [
                ("Access-Control-Allow-Origin", "*"),
                ("Cache-Control", "public, max-age=31536000, s-maxage=31536000, immutable"),
                ("Content-Type", "application/javascript; charset=utf-8"),
            ],
        )
        return [content or b""]

    host = urlsplit(CDN_URL).hostname or ""
    with tempfile.TemporaryDirectory(prefix="fmd-admin-certificate-") as name:
        fingerprint = _certify(host, Path(name) / "certificate.pem")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(Path(name) / "certificate.pem")
    with serve(app, ssl_context=context) as port:
        yield [
            f"--host-resolver-rules=MAP {host} 127.0.0.1:{port}",
            f"--ignore-certificate-errors-spki-list={fingerprint}",
        ]


def _certify(host: str, path: Path) -> str:
    """Write a key and a certificate of its own for ``host``; return the key's fingerprint."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, host)])
    now = datetime.now(timezone.utc)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    path.write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(pem)
    )
    der = key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return base64.b64encode(hashlib.sha256(der).digest()).decode()


def _read(folder: Path, asset: Asset) -> bytes | None:
    """The cached file, or None if it is not there or not what it should be."""
    try:
        content = (folder / asset.path).read_bytes()
    except FileNotFoundError:
        return None
    found = base64.b64encode(hashlib.sha384(content).digest()).decode()
    return content if found == asset.sha384 else None


def _checked(folder: Path, asset: Asset) -> bytes:
    content = _read(folder, asset)
    if content is None:
        raise CDNError(f"{asset.path} in its npm package does not have the hash that ASSETS says")
    return content


def _fetch(folder: Path, missing: list[Asset]) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise CDNError("npm is needed to get the chart libraries: apt-get install npm")
    with tempfile.TemporaryDirectory(prefix="fmd-admin-npm-") as name:
        command = [npm, "pack", "--ignore-scripts", "--silent", "--no-update-notifier"]
        command += [_package(asset) for asset in missing]
        # In an empty folder, so that no project's settings are read.
        done = subprocess.run(command, cwd=name, capture_output=True, text=True, timeout=FETCHING_S)
        if done.returncode:
            raise CDNError(f"npm pack failed: {done.stderr.strip()[-2000:]}")
        for asset in missing:
            _extract(Path(name), folder, asset)


def _package(asset: Asset) -> str:
    """ "@scope/name@1.2.3" of an asset's path."""
    parts = asset.path.split("/")
    return "/".join(parts[: 2 if asset.path.startswith("@") else 1])


def _extract(packages: Path, folder: Path, asset: Asset) -> None:
    package = _package(asset)
    name, _, version = package.rpartition("@")
    archive = packages / f"{name.removeprefix('@').replace('/', '-')}-{version}.tgz"
    with tarfile.open(archive) as tar:
        try:
            member = tar.extractfile(f"package/{asset.path.removeprefix(package + '/')}")
        except KeyError:
            member = None
        if member is None:
            raise CDNError(f"npm's {package} has no {asset.path}")
        content = member.read()
    target = folder / asset.path
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=target.parent, delete=False) as part:
        part.write(content)
    Path(part.name).replace(target)
