"""`bastion curl TARGET/PATH -- …`: curl with the token, the CA and the URL put in."""

from __future__ import annotations

import asyncio
import os
import shutil
import ssl
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from bastion.cli.help import Manual
from bastion.cli.named import DEFAULT, named
from bastion.cli.onetarget import one_target
from bastion.cli.place import Place, place_of
from bastion.runtime.errors import StartError
from bastion.settings.people import AskedOptions

OPTIONS = AskedOptions
MANUAL = Manual(
    "bastion curl TARGET[/PATH] [-- CURL'S FLAGS]",
    "Runs curl with the token, the certificate authority and the URL put in; what stands behind `--` is"
    " curl's own. The exit status is curl's; 1 where there is no curl, 2 for a mistake in the command line.",
    ("server", "token"),
    (
        ("is it healthy?", "bastion curl svc/shop/frontend:http/healthz -- -v"),
        ("a POST", "bastion curl -n shop svc/orders:http/orders -- -d @order.json"),
    ),
    (
        "TARGET is svc|pod|node/NAME in the namespace of -n, or svc/NAMESPACE/NAME:PORT/PATH.",
        "The token, and a client certificate's key, are handed over in files without a name: they are in no"
        " list of processes.",
    ),
)


def run(argv: Sequence[str]) -> int:  # noqa: RET503  one program gives way to another
    given = one_target(OPTIONS, MANUAL, argv, more=True)
    if given is None:
        return 0
    options, word, others = given
    curl = shutil.which("curl")
    if curl is None:
        raise StartError("curl is not installed")
    place = place_of(options.asked)
    target = named(word, options.asked.namespace or DEFAULT)
    config = config_of(place, asyncio.run(place.headers()))
    # curl's own flags last, so that they may say otherwise
    words = [curl, "--config", _handed_over(config), "--path-as-is", place.url + target.path, *others]
    os.execv(curl, words)  # noqa: S606


def config_of(place: Place, headers: Iterable[tuple[str, str]]) -> str:
    """Of curl."""
    lines = [f"header = {_quoted(f'{name}: {value}')}" for name, value in headers]
    if place.tls.verify_mode == ssl.CERT_NONE:
        lines.append("insecure")
    elif pem := "".join(map(ssl.DER_cert_to_PEM_cert, place.tls.get_ca_certs(binary_form=True))):
        lines.append(f"cacert = {_quoted(_handed_over(pem))}")
    if place.shown is not None:
        lines.append(f"cert = {_quoted(_handed_over(place.shown.certificate.decode()))}")
        lines.append(f"key = {_quoted(_handed_over(place.shown.key.decode()))}")
    return "".join(f"{line}\n" for line in lines)


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _handed_over(text: str) -> str:
    """The name of an open file that the program which takes this one's place can read."""
    descriptor, name = tempfile.mkstemp()
    Path(name).unlink()
    os.write(descriptor, text.encode())
    os.lseek(descriptor, 0, os.SEEK_SET)
    os.set_inheritable(descriptor, True)
    return f"/dev/fd/{descriptor}"
