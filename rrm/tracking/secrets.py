"""Keep passwords and tokens out of everything that is printed or stored."""

import os
import re
from urllib.parse import parse_qsl, unquote, urlsplit, urlunsplit

HIDDEN = "***"
VARIABLES = ("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")

_USERINFO = re.compile(r"([a-z][a-z0-9+.-]*)://([^\s'\"]*)@", re.IGNORECASE)
_QUERY = re.compile(r"([?&][^=&\s]*(?:password|passwd|pwd|token|secret|key)[^=&\s]*=)[^&\s'\"]+", re.IGNORECASE)


def mask(text: str, uri: str = "") -> str:
    """`text` without credentials: those in its addresses, in `uri`, and in MLflow's variables.

    `uri` is the store's address: libraries quote parts of it in their errors, decoded or not.
    """
    for secret in sorted(_secrets(uri), key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    text = _USERINFO.sub(lambda found: found[0] if _is_file(found[1]) else f"{found[1]}://{HIDDEN}@", text)
    return _QUERY.sub(rf"\1{HIDDEN}", text)


def logged_in(uri: str) -> str:
    """`uri` for MLflow: the credentials before the @ of a server go into MLflow's variables, in this process.

    MLflow quotes the address in its errors, and builds other addresses from it.
    """
    parts = urlsplit(uri)
    if not parts.scheme.startswith("http") or not parts.password:
        return uri
    os.environ["MLFLOW_TRACKING_USERNAME"] = unquote(parts.username or "")
    os.environ["MLFLOW_TRACKING_PASSWORD"] = unquote(parts.password)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def _secrets(uri: str) -> set[str]:
    """Passwords, both percent-encoded and decoded."""
    secrets = {os.environ.get(name, "") for name in VARIABLES}
    found = _USERINFO.search(uri)
    if found and not _is_file(found[1]):
        password = found[2].partition(":")[2]
        secrets |= {password, unquote(password)}
    if _QUERY.search(uri):
        secrets |= {value for name, value in parse_qsl(uri.partition("?")[2]) if _QUERY.search(f"?{name}=x")}
    return secrets - {""}


def _is_file(scheme: str) -> bool:
    return scheme.split("+")[0] in ("sqlite", "file")  # an @ is part of a path there
