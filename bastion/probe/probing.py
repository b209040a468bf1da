"""One probe of one endpoint by a module, from its first sample to its last."""

from __future__ import annotations

import time
from collections.abc import Callable

from bastion.probe.attempt import Attempt
from bastion.probe.http import HttpProbe
from bastion.probe.modules import Dns, Grpc, Http, Module, Tcp
from bastion.probe.tcp import TcpProbe


async def probe(attempt: Attempt, module: Module, verdict: Callable[[int], bool] | None = None) -> bool:
    """`verdict`: which HTTP statuses are good, where not the module says it."""
    began = time.perf_counter()
    attempt.note(f"beginning probe prober={module.prober} timeout_seconds={attempt.left:.3f}")
    settings = module.settings
    # gRPC and DNS have libraries of their own, which are loaded for those who ask for them
    match settings:
        case Http():
            success = await HttpProbe(attempt, settings, verdict).run()
        case Tcp():
            success = await TcpProbe(attempt, settings).run()
        case Grpc():
            from bastion.probe.grpc import GrpcProbe

            success = await GrpcProbe(attempt, settings).run()
        case Dns():
            from bastion.probe.dnsprobe import DnsProbe

            success = await DnsProbe(attempt, settings).run()
    took = time.perf_counter() - began
    attempt.samples.set("probe_success", float(success))
    attempt.samples.set("probe_duration_seconds", took)
    attempt.note(f"probe {'succeeded' if success else 'failed'} duration_seconds={took:.6f}")
    return success
