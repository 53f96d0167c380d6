"""The command that serves the catalog."""

import contextlib
import gc
import socket
import sys
from collections.abc import Iterator
from typing import Annotated, Any

import anyio
import structlog
import typer

from release_catalog import logging_config, runtime
from release_catalog.auth import authenticator
from release_catalog.settings import Settings, unknown

# Orchestrators wait for 20 or 30 seconds between SIGTERM and SIGKILL.
MAX_GRACE_SECONDS = 15

_log = structlog.get_logger()


def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen at.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen at. Use 0 for any free port.")] = None,
    sample: Annotated[bool, typer.Option(help="Load the sample data first if the catalog is empty.")] = False,
) -> None:
    """Serve the catalog until SIGTERM or Ctrl-C; current requests are answered first."""
    # These take a second to import, and only the server needs them: the other commands start that much faster.
    from release_catalog.graphql_http import documents  # noqa: PLC0415
    from release_catalog.server import app as application  # noqa: PLC0415
    from release_catalog.server import metrics, uvicorn_server  # noqa: PLC0415

    overrides: dict[str, Any] = {"host": host, "port": port}
    settings = Settings(**{name: value for name, value in overrides.items() if value is not None})
    logging_config.configure(settings.log_level, settings.log_format)
    if names := unknown():
        _log.warning("unknown settings", names=names)
    try:
        app = application.create_app(settings, with_sample=sample)
    except documents.Unreadable as error:
        sys.exit(f"The trusted documents can't be used: {error}. Check RELEASE_CATALOG_DOCUMENTS.")
    server = uvicorn_server.server(app, MAX_GRACE_SECONDS, settings.receive_seconds, settings.max_connections)

    async def run() -> None:
        async with contextlib.AsyncExitStack() as stack:
            if scrapers:
                await stack.enter_async_context(metrics.serving(app.state.measured, settings, scrapers))
            # While the embedded MongoDB starts, nothing else can run; that takes seconds.
            waits = settings.mongodb_url and settings.database_wait_seconds
            async with uvicorn_server.alive(listener) if waits else contextlib.nullcontext():
                # Not by the server, which would report a missing database with a traceback.
                await stack.enter_async_context(app.router.lifespan_context(app))
            _announce(settings, listener)
            _tune_gc()
            # It raises the signal that ended it once more.
            with contextlib.suppress(SystemExit):
                await server.serve([listener])

    with _listening(settings) as listener, _listening_for_scrapers(settings) as scrapers:
        anyio.run(run, backend_options={"loop_factory": server.config.get_loop_factory()})


def _tune_gc() -> None:
    """Exclude objects that live as long as the server from garbage collection, and collect the rest less often.

    A full collection looks at all of the schema, which holds up every request for tens of milliseconds.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 100)


def _listening(settings: Settings) -> socket.socket:
    """Return a socket at the address; clients that come before the server is ready wait."""
    host, port = settings.host, settings.port
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        if not settings.authenticated and not authenticator.is_loopback(str(address[0])):
            sys.exit(
                f"Other machines can reach {host}, and authentication is off: create a token "
                "(release-catalog token) and set RELEASE_CATALOG_AUTHENTICATION=required, or serve at "
                "127.0.0.1."
            )
        listener = socket.create_server((str(address[0]), port), family=family, backlog=2048)
    except OSError as error:
        reason = str(error.strerror).partition(" (while")[0]
        sys.exit(f"The server can't listen at {host}, port {port}: {reason}. Choose another --host or --port.")
    # Its connections inherit it. Without uvloop, responses would wait 40 milliseconds for an acknowledgement.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


@contextlib.contextmanager
def _listening_for_scrapers(settings: Settings) -> Iterator[socket.socket | None]:
    """Listen at the port for metrics, if there is one."""
    host, port = settings.metrics_host, settings.metrics_port
    if port is None:
        yield None
        return
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.create_server((str(address[0]), port), family=family)
    except OSError as error:
        reason = str(error.strerror).partition(" (while")[0]
        sys.exit(
            f"Metrics can't be served at {host}, port {port}: {reason}. Choose another "
            "RELEASE_CATALOG_METRICS_HOST or _METRICS_PORT."
        )
    with listener:
        yield listener


def _announce(settings: Settings, listener: socket.socket) -> None:
    port, host = listener.getsockname()[1], settings.host
    url = f"http://{f'[{host}]' if ':' in host else host}:{port}/graphql"
    database = runtime.place(settings)
    if settings.authenticated:
        _log.info("serving with authentication", url=url, database=database)
    else:
        event = "serving this machine without authentication"
        _log.info(event, url=url, database=database)
