"""The proxies that deploy/ describes, as processes on this machine, with a certificate of their own."""

import contextlib
import datetime
import ipaddress
import os
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from support.processes import eventually

ROOT = Path(__file__).parents[2]
NGINX, CADDY = ROOT / "deploy/nginx/release-catalog.conf", ROOT / "deploy/caddy/Caddyfile"
PROXIES = ["nginx", "caddy"]


class Proxy(NamedTuple):
    """A proxy that answers."""

    name: str
    port: int
    # The port that redirects to https.
    plain_port: int
    tls: ssl.SSLContext

    @property
    def host(self) -> str:
        return f"localhost:{self.port}"

    @property
    def url(self) -> str:
        return f"https://{self.host}"


class Ports(NamedTuple):
    """The ports of a proxy, and of the API behind it."""

    tls: int
    plain: int
    upstream: int


def program(name: str) -> str:
    """Find a proxy, of which Debian puts one where only root looks."""
    found = shutil.which(name, path=os.pathsep.join([os.environ["PATH"], "/usr/sbin"]))
    if not found:
        pytest.skip(f"needs {name}")
    return found


@contextlib.contextmanager
def running(name: str, folder: Path, upstream: int) -> Iterator[Proxy]:
    """A proxy for the API at a port of this machine."""
    folder.mkdir(exist_ok=True)
    certificate(folder)
    ports = Ports(free_port(), free_port(), upstream)
    command = {"nginx": nginx, "caddy": caddy}[name](folder, ports)
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdout=output,
            stderr=output,
            env=os.environ | {"HOME": str(folder), "XDG_DATA_HOME": str(folder)},
        )
        try:
            assert eventually(lambda: process.poll() is not None or listens(ports.tls)), log.read_text()
            assert process.poll() is None, log.read_text()
            yield Proxy(name, ports.tls, ports.plain, ssl.create_default_context(cafile=str(folder / "tls.pem")))
        finally:
            process.terminate()
            process.wait(30)


def nginx(folder: Path, ports: Ports) -> list[str]:
    """Write the settings for this run; the command."""
    text = changed(
        NGINX.read_text(),
        {
            "    listen [::]:80;\n": "",
            "    listen [::]:443 ssl http2;\n": "",
            "listen 80;": f"listen 127.0.0.1:{ports.plain};",
            "listen 443 ": f"listen 127.0.0.1:{ports.tls} ",
            "server 127.0.0.1:8000;": f"server 127.0.0.1:{ports.upstream};",
            "server_name catalog.example;": "server_name localhost;",
            "/etc/ssl/certs/catalog.example.pem": str(folder / "tls.pem"),
            "/etc/ssl/private/catalog.example.key": str(folder / "tls.key"),
        },
    )
    (folder / "release-catalog.conf").write_text(text)
    temporary = "".join(
        f"    {kind}_temp_path {folder}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    user = "user root;\n" if os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(
        f"{user}daemon off;\npid {folder}/pid;\nevents {{}}\nhttp {{\n    access_log off;\n{temporary}"
        f"    include {folder}/release-catalog.conf;\n}}\n"
    )
    return [program("nginx"), "-p", str(folder), "-e", "stderr", "-c", str(folder / "nginx.conf")]


def caddy(folder: Path, ports: Ports) -> list[str]:
    """Write the settings for this run; the command."""
    text = changed(
        CADDY.read_text(),
        {
            "{\n\t# The time": f"{{\n\tadmin off\n\tskip_install_trust\n\thttp_port {ports.plain}\n\t# The time",
            "grace_period 15s": "grace_period 1s",
            "catalog.example {": f"https://localhost:{ports.tls} {{\n\tbind 127.0.0.1\n"
            f"\ttls {folder}/tls.pem {folder}/tls.key",
            "reverse_proxy 127.0.0.1:8000 {": f"reverse_proxy 127.0.0.1:{ports.upstream} {{",
        },
    )
    (folder / "Caddyfile").write_text(text)
    return [program("caddy"), "run", "--adapter", "caddyfile", "--config", str(folder / "Caddyfile")]


def changed(text: str, changes: dict[str, str]) -> str:
    """Return a text after changes, each of which has to change something."""
    for old, new in changes.items():
        assert old in text, old
        text = text.replace(old, new)
    return text


def certificate(folder: Path) -> None:
    """Write a certificate for this machine, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "tls.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (folder / "tls.key").write_bytes(key.private_bytes(*private))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def listens(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False
