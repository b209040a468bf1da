"""How is nftables spoken to?  By its library in this process; where that is missing, by a child, `nft -f -`.

A child costs tens of milliseconds a change, the library one or two.
"""

from __future__ import annotations

import ctypes
import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import msgspec

from bastion.node.addresses import IPV4
from bastion.node.nftables.layout import FAMILY, TABLE
from bastion.node.nftables.table import There
from bastion.runtime.errors import StartError

LIBRARY = "libnftables.so.1"
_JSON, _TERSE = 1 << 4, 1 << 11  # of nftables/libnftables.h
CHILD_SECONDS = 60.0
PROBE = f"{TABLE}-probe"  # a table that comes and goes in one transaction
# Those that kube-proxy's nftables mode asks for (pkg/proxy/nftables).
OLDEST_NFT, OLDEST_KERNEL = (1, 0, 1), (5, 13, 0)
SKIP_KERNEL_CHECK = "KUBE_PROXY_NFTABLES_SKIP_KERNEL_VERSION_CHECK"


class NftError(Exception):
    """The kernel, or the parser, did not take a script: nothing of it is in force."""


def require(what: str, said: str, oldest: tuple[int, ...]) -> None:
    """Raises StartError where what it says of its version is older; where it says none, it is tried."""
    found = re.search(r"(\d+)\.(\d+)(?:\.(\d+))?", said)
    if found is not None and tuple(int(part or 0) for part in found.groups()) < oldest:
        needed = ".".join(map(str, oldest)).removesuffix(".0")
        raise StartError(f"nftables mode needs {what} {needed} or later, and this is {found[0]}")


def require_kernel(release: str, environment: Mapping[str, str]) -> None:
    """Raises StartError where it is too old, unless kube-proxy's own variable is set."""
    if not environment.get(SKIP_KERNEL_CHECK):
        try:
            require("Linux", release, OLDEST_KERNEL)
        except StartError as error:
            raise StartError(f"{error} ({SKIP_KERNEL_CHECK}=1 tries it all the same)") from None


class Nft(Protocol):
    """Both raise NftError; neither is called twice at a time."""

    def run(self, script: str) -> None: ...

    def read(self, command: str, *, terse: bool = True) -> bytes:
        """What a `list` command says, as JSON."""
        ...


class Library:
    """libnftables: `nft_ctx` holds its buffers and its netlink socket's options."""

    def __init__(self) -> None:
        """Raises OSError where it cannot be loaded."""
        self._lib = ctypes.CDLL(LIBRARY)
        self._lib.nft_ctx_new.restype = ctypes.c_void_p
        self._lib.nft_ctx_new.argtypes = [ctypes.c_uint32]
        self._lib.nft_ctx_free.argtypes = [ctypes.c_void_p]
        self._lib.nft_run_cmd_from_buffer.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
        self._lib.nft_ctx_output_set_flags.argtypes = [ctypes.c_void_p, ctypes.c_uint]
        for which in ("output", "error"):
            getattr(self._lib, f"nft_ctx_buffer_{which}").argtypes = [ctypes.c_void_p]
            said = getattr(self._lib, f"nft_ctx_get_{which}_buffer")
            said.argtypes, said.restype = [ctypes.c_void_p], ctypes.c_char_p

    def run(self, script: str) -> None:
        self._do(script, 0)

    def read(self, command: str, *, terse: bool = True) -> bytes:
        return self._do(command, _JSON | (_TERSE if terse else 0))

    def _do(self, text: str, flags: int) -> bytes:
        # A context of its own each time: what one remembers of the kernel's tables may be out of date.
        context = self._lib.nft_ctx_new(0)
        if not context:
            raise NftError("no netlink socket")
        try:
            self._lib.nft_ctx_buffer_output(context)
            self._lib.nft_ctx_buffer_error(context)
            self._lib.nft_ctx_output_set_flags(context, flags)
            failed = self._lib.nft_run_cmd_from_buffer(context, text.encode())
            if failed:
                raise NftError(_first_line(self._lib.nft_ctx_get_error_buffer(context)))
            return bytes(self._lib.nft_ctx_get_output_buffer(context) or b"")
        finally:
            self._lib.nft_ctx_free(context)


class Child:
    def __init__(self, program: str) -> None:
        self._program = program

    def run(self, script: str) -> None:
        self._do(["-f", "-"], script)

    def read(self, command: str, *, terse: bool = True) -> bytes:
        # With -j a script is expected in JSON, too, so that the command goes along with the arguments.
        return self._do(["-j", *(["-t"] if terse else []), *command.split()], "")

    def version(self) -> str:
        """Empty where it does not say."""
        try:
            return self._do(["--version"], "").decode(errors="replace")
        except NftError:
            return ""

    def _do(self, arguments: list[str], text: str) -> bytes:
        try:
            done = subprocess.run(  # noqa: S603 a program of the system, and no shell
                [self._program, *arguments], input=text.encode(), capture_output=True, timeout=CHILD_SECONDS
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise NftError(f"{self._program}: {error}") from error
        if done.returncode:
            raise NftError(_first_line(done.stderr))
        return done.stdout


def open_nft() -> Nft:
    """Raises StartError where neither is there, one is too old, or the kernel has no nftables."""
    nft: Nft
    try:
        nft = Library()
    except OSError:
        program = shutil.which("nft")
        if program is None:
            raise StartError(
                f"nftables mode needs {LIBRARY} or the program nft (Debian: apt-get install nftables)"
            ) from None
        nft = Child(program)
        require("nft", nft.version(), OLDEST_NFT)
    try:  # a list of tables would read all their rules, of others' as well
        delete_tables(nft, IPV4, (PROBE,))
    except NftError as error:
        raise StartError(f"nftables cannot be used here: {error}") from error
    return nft


class _Named(msgspec.Struct):
    name: str


class _Object(msgspec.Struct):
    chain: _Named | None = None
    set: _Named | None = None
    map: _Named | None = None


class _Listing(msgspec.Struct):
    nftables: list[_Object]


def there(nft: Nft, family: str) -> There:
    """The names in our table; nothing where it is not there or cannot be listed."""
    try:
        said = nft.read(f"list table {FAMILY[family]} {TABLE}")
    except NftError:
        return There()
    objects = msgspec.json.decode(said, type=_Listing).nftables
    return There(
        True,
        frozenset(one.chain.name for one in objects if one.chain is not None),
        frozenset(one.set.name for one in objects if one.set is not None),
        frozenset(one.map.name for one in objects if one.map is not None),
    )


def delete_tables(nft: Nft, family: str, names: Iterable[str]) -> None:
    """Whether or not they are there."""
    ip = FAMILY[family]
    nft.run("".join(f"add table {ip} {name}\ndelete table {ip} {name}\n" for name in names))


def _first_line(said: Any) -> str:
    text = bytes(said or b"").decode(errors="replace").strip()
    return text.splitlines()[0] if text else "it gave no reason"
