"""Checks of this machine: files, memory, disk and port."""

import http.client
import resource
import shutil
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

from release_catalog.cli.checks.findings import Finding, error, info, ok, warning
from release_catalog.settings import Settings

# Descriptors for the database's connections, downloads, deliveries, logs and libraries.
_OTHER_DESCRIPTORS = 400
_LITTLE_DISK, _LEAST_DISK = 2_000_000_000, 200_000_000
_LITTLE_MEMORY = 300_000_000
_SECONDS = 3.0


def descriptors(found: Settings) -> Iterator[Finding]:
    """Find a limit of file descriptors below the connections that the settings allow."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = found.max_connections + found.subscribers + _OTHER_DESCRIPTORS
    if most == resource.RLIM_INFINITY or most >= needed:
        yield ok("The limit of file descriptors allows all connections.")
    else:
        yield warning(
            f"A process may open {most} files, but the settings allow {found.max_connections} connections and "
            f"{found.subscribers} subscribers, which take {needed}.",
            f"Raise the limit (ulimit -H -n {needed}, or LimitNOFILE={needed} for systemd), or lower "
            "RELEASE_CATALOG_MAX_CONNECTIONS and RELEASE_CATALOG_SUBSCRIBERS.",
        )


def disk(found: Settings) -> Iterator[Finding]:
    """Find a data folder whose disk is nearly full, or that can't be used."""
    if found.mongodb_url:
        return
    folder = found.data_dir
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not existing.is_dir():
        yield error(f"{existing} is not a folder.", "Set RELEASE_CATALOG_DATA_DIR to a folder.")
        return
    yield space(shutil.disk_usage(existing).free, f"the data folder {folder}")


def space(free: int, place: str) -> Finding:
    """Return a finding about the free bytes of a disk."""
    if free < _LEAST_DISK:
        return error(f"The disk of {place} has only {free // 1_000_000} MB left.", "Free some space now.")
    if free < _LITTLE_DISK:
        return warning(f"The disk of {place} has only {free // 1_000_000} MB left.", "Free some space.")
    return ok(f"The disk of {place} has {free // 1_000_000_000} GB left.")


def memory(_: Settings) -> Iterator[Finding]:
    """Find a machine with little free memory; only Linux tells."""
    if sys.platform != "linux":
        return
    rows = dict(row.split(":", 1) for row in Path("/proc/meminfo").read_text().splitlines() if ":" in row)
    if "MemAvailable" not in rows:
        return
    free = int(rows["MemAvailable"].split()[0]) * 1024
    if free < _LITTLE_MEMORY:
        yield warning(f"Only {free // 1_000_000} MB of memory are free.", "Stop other programs, or add memory.")
    else:
        yield ok(f"{free // 1_000_000} MB of memory are free.")


def port(found: Settings) -> Iterator[Finding]:
    """Find a port that another program uses, or a running server that is not ready."""
    place = f"{found.host}, port {found.port}"
    try:
        family, *_, address = socket.getaddrinfo(found.host, found.port, type=socket.SOCK_STREAM)[0]
    except OSError as wrong:
        yield error(
            f"{found.host} is no address of this machine: {wrong.strerror}.", "Correct RELEASE_CATALOG_HOST."
        )
        return
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            # As the server does: connections of its last run that linger are no obstacle.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as wrong:
        alive = _status(found, "/livez")
        if alive != http.client.OK:
            reason = (wrong.strerror or "").partition(" (while")[0]
            yield error(
                f"A server can't listen at {place}: {reason}.",
                "Stop the other program, or set RELEASE_CATALOG_PORT.",
            )
        elif (ready := _status(found, "/readyz")) == http.client.OK:
            yield ok(f"A server runs at {place}, and is ready.")
        else:
            yield error(
                f"A server runs at {place}, but is not ready (status {ready}).",
                "Look at its log: perhaps its database does not answer.",
            )
    else:
        yield info(f"No server runs at {place}, which is free.")


def _status(found: Settings, path: str) -> int | None:
    """Return the status that a server on this machine answers at a path, None without an answer."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(found.host, found.host)  # noqa: S104  it is not bound
    connection = http.client.HTTPConnection(host, found.port, timeout=_SECONDS)
    try:
        connection.request("GET", path, headers={"Connection": "close"})
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
