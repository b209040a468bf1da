"""`bastion kubeconfig`: an entry for a bastion in a kubeconfig; its credential plugin is `bastion login`."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from bastion.cli.flags import loaded
from bastion.cli.help import Manual
from bastion.runtime.errors import ConfigError, StartError
from bastion.settings.login import KubeconfigEntry, KubeconfigOptions, check_issuer

OPTIONS = KubeconfigOptions
MANUAL = Manual(
    "bastion kubeconfig",
    "Writes an entry for a bastion into a kubeconfig, which keeps what it has: kubectl then signs in with"
    " `bastion login`.",
    first=("bastion", "issuer-url", "client-id"),
    examples=(
        (
            "an entry, and a page through it",
            "bastion kubeconfig --bastion https://bastion.example.test --issuer-url https://id.example.test"
            " --client-id bastion-cli && kubectl --context bastion get --raw"
            " /api/v1/namespaces/shop/services/web/proxy/",
        ),
    ),
)
LOCK_SECONDS = 3.0


def run(argv: Sequence[str]) -> int:
    given = loaded(OPTIONS, argv, MANUAL)
    if given is None:
        return 0
    mistakes = given.collect()
    asked = given.options.kubeconfig_entry
    check_issuer(asked, mistakes, "kubeconfig_entry")
    url = urlsplit(asked.bastion)
    if url.scheme != "https" or not url.hostname or url.query or url.fragment or url.username is not None:
        mistakes.add("{0}: must be a URL such as https://bastion.example.test", "kubeconfig_entry.bastion")
    if mistakes.lines:
        raise ConfigError(mistakes.lines)
    file = (asked.kubeconfig or default_file(os.environ)).expanduser()
    try:
        write(file, asked)
    except (OSError, ValueError) as error:
        cause = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise StartError(f"{file}: {cause}") from error
    sys.stdout.write(f"{file}: the context {asked.name} is for {asked.bastion}\n")
    return 0


def default_file(environment: os._Environ[str] | dict[str, str]) -> Path:
    """As kubectl would write."""
    given = [one for one in environment.get("KUBECONFIG", "").split(os.pathsep) if one]
    return Path(given[0]) if given else Path.home() / ".kube" / "config"


def write(file: Path, asked: KubeconfigEntry) -> None:
    """Raises OSError, ValueError where the file is none that kubectl would take."""
    from bastion.kube.documents import documents, yaml_of
    from bastion.kube.kubeconfig import with_plugin
    from bastion.runtime.private import write_private

    file = file.resolve()  # the target of a link stays where it is
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    authority = asked.certificate_authority.read_bytes() if asked.certificate_authority is not None else b""
    with _locked(file):
        read = [*documents(file.read_text())] if file.exists() else []
        if len(read) > 1 or any(document.repeated for document in read):
            raise ValueError("is more than one document, or names something twice")
        known = read[0].value if read and read[0].value is not None else {}
        changed = with_plugin(
            known, asked.name, asked.bastion.rstrip("/"), authority, login_command(asked), use=asked.use
        )
        write_private(file, yaml_of(changed).encode())


def login_command(asked: KubeconfigEntry) -> list[str]:
    """As it is found from everywhere."""
    program = "bastion" if shutil.which("bastion") else str(Path(sys.argv[0]).resolve())
    words = [program, "login", f"--issuer-url={asked.issuer_url}", f"--client-id={asked.client_id}"]
    if asked.scopes:
        words.append(f"--scopes={','.join(asked.scopes)}")
    if asked.issuer_certificate_authority is not None:
        words.append(f"--certificate-authority={asked.issuer_certificate_authority.resolve()}")
    return [*words, *(["--device"] if asked.device else [])]


@contextlib.contextmanager
def _locked(file: Path) -> Iterator[None]:
    """kubectl's own lock (client-go, `tools/clientcmd/loader.go`).  Raises ValueError."""
    lock, until = file.with_name(file.name + ".lock"), time.monotonic() + LOCK_SECONDS
    while True:
        try:
            os.close(os.open(lock, os.O_CREAT | os.O_EXCL, 0o600))
            break
        except FileExistsError as error:
            if time.monotonic() > until:
                raise ValueError(f"is being changed by another program, or {lock} was left behind") from error
            time.sleep(0.05)
    try:
        yield
    finally:
        lock.unlink(missing_ok=True)
