"""· Where is the API server?  The `server` of a cluster, as client-go reads it."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from bastion.localproxy.spelling import escaped, is_well_formed
from bastion.runtime.errors import StartError

_PORTS = {"https": 443, "http": 80}


@dataclass(frozen=True, slots=True)
class Server:
    """`host` is a name or a literal address without brackets; `netloc` is what the Host field says; `path`
    has no slash at its end.
    """

    scheme: str
    host: str
    port: int
    netloc: str
    path: str

    @property
    def tls(self) -> bool:
        return self.scheme == "https"

    @property
    def authority(self) -> str:
        """With a port that a URL may have: what cannot be dialled fails when it is dialled, as with
        kubectl.
        """
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}" if self.port < 65536 else host


def parse_server(text: str, *, secret: bool) -> Server:
    """`secret`: credentials or an authority stand beside it, so that plain HTTP cannot be meant.

    User, query and fragment count for nothing, as in client-go.  Raises StartError.
    """
    if "://" not in text:
        if secret:
            raise StartError(f"server {text!r} has no scheme: write https://{text}")
        text = f"http://{text}"
    try:
        parts = urlsplit(text)
        host = parts.hostname or ""
    except ValueError:
        host = ""
    netloc = parts.netloc.rpartition("@")[2] if host else ""
    port = netloc.rpartition("]")[2].partition(":")[2]
    if parts.scheme not in _PORTS or not host or (port and not port.isdigit()):
        raise StartError(f"server {text!r} is no URL such as https://10.0.0.1:6443")
    path = parts.path.rstrip("/")
    if not path.isprintable() or not is_well_formed(path.encode()):
        raise StartError(f"server {text!r}: its path is none of a URL")
    number = int(port) if port else _PORTS[parts.scheme]
    return Server(parts.scheme, host, number, netloc, escaped(path.encode()).decode())
