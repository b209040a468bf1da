"""· Which options have the commands besides `bastion serve`?"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bastion.settings.allocating import AllocatingOptions, AnnouncingOptions
from bastion.settings.balancing import BalancingOptions
from bastion.settings.kinds import ADDRESS, BOOLEAN, DURATION, LOOPBACK, PATH, PATHS, PORT, TEXT
from bastion.settings.login import KubeconfigOptions, LoginOptions
from bastion.settings.observing import log_format, verbosity
from bastion.settings.option import option, options_of, section
from bastion.settings.options import Options
from bastion.settings.people import Asked, AskedOptions, OpenOptions, ShownOptions, TunnelOptions

TOKEN = "BASTION_TOKEN"  # noqa: S105  the variable that holds what the commands show to a bastion


@dataclass(frozen=True, slots=True)
class Standalone:
    manifests: tuple[Path, ...] = option("manifests", PATHS, (), "the objects, a file or folder")
    token_file: Path | None = option(
        "token-auth-file", PATH, None, 'static tokens, a CSV of token,user,uid,"group,group"'
    )
    bind_address: str = option("bind-address", ADDRESS, LOOPBACK, "the address to listen on")
    port: int = option("port", PORT, 6443, "HTTPS; 0 for any free port")
    kubeconfig: Path = option("kubeconfig", PATH, Path("kubeconfig"), "the kubeconfig to write")
    log_format: str = log_format()
    verbosity: int = verbosity()


@dataclass(frozen=True, slots=True)
class StandaloneOptions:
    standalone: Standalone = section(Standalone, "flags")


@dataclass(frozen=True, slots=True)
class Demo:
    port: int | None = option(
        "port", PORT, None, "HTTPS on loopback; without it the first free one from 8443"
    )
    directory: Path | None = option(
        "directory",
        PATH,
        None,
        "for the CA, tokens and a kubeconfig; without it ./.demo, or the next one that is free",
    )
    log_format: str = log_format()
    verbosity: int = verbosity()


@dataclass(frozen=True, slots=True)
class DemoOptions:
    demo: Demo = section(Demo, "flags")


@dataclass(frozen=True, slots=True)
class Probe:
    check_config: Path | None = option(
        "check-config", PATH, None, "read this probe configuration, name every mistake, and exit: 0 or 1"
    )
    module: str = option(
        "module", TEXT, "declared", "the module; declared is what the pods themselves declare"
    )
    timeout: float = option("timeout", DURATION, 10.0, "for all endpoints together")
    watch: bool = option("watch", BOOLEAN, False, "ask again every two seconds until interrupted")


@dataclass(frozen=True, slots=True)
class ProbeOptions:
    asked: Asked = section(Asked, "flags")
    probe: Probe = section(Probe, "what is asked")


@dataclass(frozen=True, slots=True)
class Why:
    timeout: float = option("timeout", DURATION, 10.0, "for the answer")


@dataclass(frozen=True, slots=True)
class WhyOptions:
    asked: Asked = section(Asked, "flags")
    why: Why = section(Why, "what is asked")


def variables() -> frozenset[str]:
    """Of all commands: each ignores those of the others."""
    return frozenset((TOKEN,)) | frozenset(
        row.variable
        for whole in (
            Options,
            StandaloneOptions,
            DemoOptions,
            ProbeOptions,
            WhyOptions,
            BalancingOptions,
            AllocatingOptions,
            AnnouncingOptions,
            AskedOptions,
            OpenOptions,
            ShownOptions,
            TunnelOptions,
            LoginOptions,
            KubeconfigOptions,
        )
        for row in options_of(whole)
    )
