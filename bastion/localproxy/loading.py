"""From which files, and what is in them, once the flags have had their say?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from bastion.cluster.access import AccessData
from bastion.cluster.entries import Config, Entry
from bastion.cluster.kubeconfig import (
    SERVICE_ACCOUNT,
    KubeconfigError,
    kubeconfig_files,
    load_chosen,
    read_configs,
)
from bastion.localproxy.credentials import Credentials
from bastion.localproxy.options import Connection
from bastion.localproxy.selection import Selection, context_names, current_context, select
from bastion.localproxy.server import Server, parse_server


class Kubeconfig:
    """The files as they were at the start: contexts are chosen then, and credentials alone are read again."""

    def __init__(
        self, asked: Connection, environ: Mapping[str, str], service_account: Path = SERVICE_ACCOUNT
    ) -> None:
        """Raises KubeconfigError in one line that says what was looked for and where."""
        self._asked = asked
        self._environ = environ
        self._service_account = service_account
        self.files = kubeconfig_files(Path(asked.kubeconfig) if asked.kubeconfig else None, environ)
        configs = read_configs(self.files)
        self.context = current_context(configs, asked)
        self.contexts = context_names(configs)
        in_pod = "KUBERNETES_SERVICE_HOST" in environ
        if not self.files and not asked.server and not self.context and not in_pod:
            raise KubeconfigError(_nothing(environ))
        # of a pod: as kubectl, where no file and no flag names an API server
        self._of_pod = in_pod and not asked.server and not self.context and not self.contexts

    def reach(self, context: str) -> tuple[Server, Credentials]:
        """Raises KubeconfigError."""
        if self._of_pod:
            inside = partial(load_chosen, (), None, self._environ, self._service_account)
            credentials = Credentials(lambda _: inside(), has_plugin=False)
            return parse_server(credentials.now.server, secret=True), credentials
        found: list[Selection] = []

        def choose(configs: Sequence[Config]) -> tuple[Entry, Entry]:
            found[:] = [select(configs, self._asked, context)]
            return found[0].cluster, found[0].user

        def without_plugin(configs: Sequence[Config]) -> tuple[Entry, Entry]:
            cluster, user = choose(configs)
            return cluster, replace(user, value={k: v for k, v in user.value.items() if k != "exec"})

        def load(with_plugin: bool) -> AccessData:
            return load_chosen(self.files, choose if with_plugin else without_plugin, self._environ)

        load(False)  # what can never work is said before anything is served
        return found[0].server, Credentials(load, has_plugin=found[0].has_plugin)


def _nothing(environ: Mapping[str, str]) -> str:
    if environ.get("KUBECONFIG"):
        looked = f"KUBECONFIG={environ['KUBECONFIG']} names no file that is there"
    else:
        home = Path(environ.get("HOME", "/"), ".kube", "config")
        looked = f"--kubeconfig and KUBECONFIG are not set, {home} is not there"
    return f"no kubeconfig: {looked}, and this is not a pod (KUBERNETES_SERVICE_HOST is not set)"
