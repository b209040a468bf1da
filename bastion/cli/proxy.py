"""`bastion proxy`: kubectl proxy's command line, its start and error lines, and its exit statuses."""

from __future__ import annotations

import sys
from collections.abc import Sequence

USAGE = """\
Serves the Kubernetes API of a kubeconfig on this machine, as you, to you alone.

Examples:
  # What `kubectl proxy` does
  bastion proxy
  # Run a command with the proxy in its environment, and end with its exit status
  bastion proxy -p 0 -- curl -s $KUBERNETES_MASTER/version
  # All contexts of the kubeconfig on one port: /contexts/NAME/ and http://NAME.localhost:8001
  bastion proxy --all-contexts
  # Web applications behind services, each on a host name of its own
  bastion proxy --rewrite    # then http://grafana--monitoring.svc.localhost:8001

Options:
"""
TAIL = """

Usage:
  bastion proxy [--port=PORT] [--www=static-dir] [--www-prefix=prefix] [--api-prefix=prefix] [options]
  bastion proxy [options] -- COMMAND...
"""
TO_HELP = "See 'bastion proxy --help' for usage."


def run(argv: Sequence[str]) -> int:
    """The exit status.  What is heavy is imported once the flags are good."""
    from bastion.localproxy import options, pflag

    try:
        asked = options.read(argv)
    except pflag.HelpRequested:
        sys.stdout.write(USAGE + pflag.described(options.FLAGS) + TAIL)
        return 0
    except pflag.FlagError as error:
        return _fail(str(error), TO_HELP)
    except ValueError as error:
        return _fail(str(error))
    from bastion.localproxy import listen
    from bastion.localproxy import run as local
    from bastion.runtime.errors import StartError

    try:
        return local.run(asked)
    except (StartError, ValueError, listen.ListenError) as error:
        return _fail(str(error))
    except OSError as error:
        return _fail(f"{error.filename or 'start'}: {(error.strerror or str(error)).lower()}")


def _fail(*lines: str) -> int:
    """Each on one line, whatever is in it."""
    sys.stderr.write(
        f"error: {' '.join(lines[0].split(chr(10)))}\n" + "".join(f"{line}\n" for line in lines[1:])
    )
    return 1
