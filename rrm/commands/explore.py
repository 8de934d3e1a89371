"""`python -m rrm explore`: a page on which the runs of a store can be looked at."""

import argparse
import os
import threading
import webbrowser
from pathlib import Path

from rrm.commands.options import check_storage
from rrm.errors import InputError
from rrm.explorer.view import View
from rrm.paths import user_path
from rrm.tracking.address import database_file, tracking_uri
from rrm.tracking.secrets import mask

DESCRIPTION = """Open a page with the runs of a store: finished ones and those that run, of any kind of job.

The page is served on this machine alone, reads and never writes the store, and loads nothing from elsewhere. Every view
of it is a link."""
PORT = 7860


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    add = parser.add_argument
    add("--storage", type=user_path, default="runs", metavar="DIR", help="folder of jobs and their MLflow store "
        "(default: ./%(default)s)")  # fmt: skip
    add("--tracking-uri", metavar="URI", help="an MLflow server or store (default: MLFLOW_TRACKING_URI, else sqlite in "
        "the storage folder)")  # fmt: skip
    add("--port", type=int, default=PORT, metavar="N", help="of the page, 0 for any (default: %(default)s)")
    add("--export", type=user_path, metavar="FILE.html", help="write the figures into one file that opens without a "
        "server, and serve no page")  # fmt: skip
    add("--view", default="", metavar="ADDRESS", help="the link of a view, or its part from the question mark on: of "
        "what --export writes, and of what the browser opens")  # fmt: skip
    add("--no-browser", action="store_true", help="print the address and open no browser")


def run(args: argparse.Namespace) -> int:
    """Serve the page until Ctrl-C; -> exit code."""
    check_storage(args.storage)
    if not 0 <= args.port < 1 << 16:
        raise InputError(f"--port {args.port} is no port: use 0 (any) to {(1 << 16) - 1}")
    storage = Path(os.path.realpath(args.storage))
    uri = tracking_uri(args.tracking_uri, storage)
    if (file := database_file(uri)) and not file.is_file():
        raise InputError(f"there is no store {mask(uri)}: run a job first, or name its folder by --storage")
    view = View.from_address(args.view[args.view.find("?") :] if "?" in args.view else "")
    if args.export:
        return _export(uri, storage, view, Path(args.export))
    from rrm.explorer.app import make_app, read_ahead
    from rrm.explorer.server import ADDRESS, serve
    from rrm.explorer.source import Source

    source = Source(uri, storage)
    server = serve(make_app(source), args.port)
    address = f"http://{ADDRESS}:{server.port}/{view.address}"
    print(f"explorer  {address}   (Ctrl-C ends it)", flush=True)
    threading.Thread(target=read_ahead, args=(source, view), daemon=True).start()
    if not args.no_browser:
        webbrowser.open(address)
    server.serve_forever()
    return 0


def _export(uri: str, storage: Path, view: View, path: Path) -> int:
    from rrm.explorer.export import export
    from rrm.explorer.source import Source

    if not path.absolute().parent.is_dir() or path.is_dir():
        raise InputError(f"--export {path} is no file that can be written: name one in a folder that exists")
    titles = export(Source(uri, storage), view, path)
    print(f"figures   {', '.join(titles)} -> {path}")
    return 0
