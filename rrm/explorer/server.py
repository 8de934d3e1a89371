"""The server of the page: on this machine alone, for pages that it has sent itself."""

import socket
from collections.abc import Sequence
from urllib.parse import urlsplit

from dash import Dash
from flask import Response, abort, request
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from rrm.errors import InputError

ADDRESS = "127.0.0.1"
# Names of this machine. A page of elsewhere whose name is made to lead here (DNS rebinding) has another.
NAMES = (ADDRESS, "localhost", "[::1]")
# Where Dash's callbacks are sent; they read, as everything here does, and are the one thing that is not asked by GET.
CALLBACKS = "/_dash-update-component"


class _Quiet(WSGIRequestHandler):
    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Requests are not worth a line."""


def serve(app: Dash, port: int) -> BaseWSGIServer:
    """A server that waits for `serve_forever`, on any free port for 0; InputError where the port is taken."""
    guard(app)
    try:
        waiting = socket.create_server((ADDRESS, port))
    except OSError as error:
        raise InputError(f"--port {port} cannot be used ({error.strerror}): name another one, or 0 for any") from None
    with waiting:  # the server has its own handle
        return make_server(ADDRESS, port, app.server, threaded=True, request_handler=_Quiet, fd=waiting.fileno())


def guard(app: Dash) -> None:
    """Refuse other methods, other hosts and pages of other origins, and forbid the page to load from elsewhere."""
    hashes: Sequence[str] = app.csp_hashes()
    policy = "; ".join(
        [
            "default-src 'self'",
            f"script-src 'self' {' '.join(hashes)}",
            "style-src 'self' 'unsafe-inline'",  # plotly writes styles
            "img-src 'self' data: blob:",
            "object-src 'none'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        ]
    )

    @app.server.before_request
    def refuse() -> None:
        if not _is_here(f"//{request.host}"):
            abort(403, "this server answers on this machine alone")
        origin = request.headers.get("Origin")
        if origin and not _is_here(origin):
            abort(403, "this server answers its own pages alone")
        if request.method not in ("GET", "HEAD") and not (request.method == "POST" and request.path == CALLBACKS):
            abort(405)

    @app.server.after_request
    def protect(response: Response) -> Response:
        response.headers["Content-Security-Policy"] = policy
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Referrer-Policy"] = "no-referrer"
        return response


def _is_here(address: str) -> bool:
    try:
        return urlsplit(address).hostname in {name.strip("[]") for name in NAMES}
    except ValueError:
        return False
