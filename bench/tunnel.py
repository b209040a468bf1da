"""How fast is one tunnel by CONNECT, beside nginx's stream that ends TLS?

The same curl reads the same gigabyte from the same nginx: through the bastion by CONNECT inside its TLS,
through nginx's stream inside that one's.  Both in turn; medians count.
"""

from __future__ import annotations

import socket
import statistics
import subprocess
import time
from pathlib import Path

from bench.fixture import BACKEND_PORT, NAMESPACE, Service, web_services
from bench.ground import Ground, Unable, free_port, require
from bench.l4 import MODULES
from bench.outcome import Outcome, Target
from bench.peers import start_all
from bench.processes import NotRunning, Program
from bench.proxies import bastion, nginx
from bench.report import say

PARTS = ("throughput",)
TARGETS = {
    "speed": Target("tunnel: speed of one, of nginx stream's that ends TLS", 0.8, "x", at_least=True),
    "gib": Target("tunnel: CPU of a GiB, of nginx stream's that ends TLS", 1.5, "x"),
}
ROUNDS = 5
LONGEST = 60  # seconds that a gigabyte may take
PATIENCE = 20.0  # seconds for nginx to serve
NGINX = """
{load}
worker_processes 1; daemon off; pid {directory}/tls.pid; error_log stderr error;
events {{ worker_connections 1024; }}
stream {{ server {{
    listen 127.0.0.1:{port} ssl; ssl_certificate {certificate}; ssl_certificate_key {key};
    proxy_pass {backend};
}} }}
"""


def run(ground: Ground, parts: tuple[str, ...]) -> Outcome:
    """Raises Unable, NotRunning."""
    require("curl", "curl")
    outcome = Outcome()
    [service] = web_services(ground.network, 1)
    ground.processes.start("backend", nginx.backend(ground, (service,)), ground.load_core)
    ways: dict[str, tuple[Program, list[str]]] = {"bastion": _bastion(ground, service)}
    try:
        ways["nginx"] = _stream(ground, service)
    except (Unable, NotRunning) as error:
        outcome.skip(list(TARGETS.values()), str(error).splitlines()[-1])
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, (program, words) in ways.items():
            found[name].append(_read(ground, program, words))
    speed = {name: statistics.median(1 / took for took, _ in some) for name, some in found.items()}
    cpu = {name: statistics.median(spent for _, spent in some) for name, some in found.items()}
    for name in ways:
        say(f"{name:10} {speed[name]:.2f} GiB/s in one tunnel, {cpu[name] * 1000:.0f} ms of CPU a GiB")
    outcome.figures["throughput"] = {"gib_per_s": speed, "cpu_s": cpu}
    if "nginx" in ways:
        outcome.judge(TARGETS["speed"], speed["bastion"] / speed["nginx"])
        outcome.judge(TARGETS["gib"], cpu["bastion"] / cpu["nginx"])
    return outcome


def _bastion(ground: Ground, service: Service) -> tuple[Program, list[str]]:
    """(it, curl's words)"""
    running, _ = start_all(
        ground,
        (service,),
        {"bastion": lambda *given: [*bastion.over_manifests(*given), "--enable-tunnels"]},
    )
    proxy = running["bastion"]
    words = ["--proxy-cacert", str(ground.directory / "ca.crt"), "--proxytunnel"]
    words += ["-x", f"https://127.0.0.1:{proxy.port}", "--proxy-user", f"x:{ground.users[0].token}"]
    return proxy.program, [*words, f"http://{service.name}.{NAMESPACE}.svc:80/1g"]


def _stream(ground: Ground, service: Service) -> tuple[Program, list[str]]:
    """(it, curl's words).  Raises Unable, NotRunning."""
    require("nginx", "nginx")
    port = free_port()
    text = NGINX.format(
        load=next((f"load_module {path};" for path in MODULES if Path(path).exists()), ""),
        directory=ground.directory,
        port=port,
        certificate=ground.certificate,
        key=ground.key,
        backend=f"{service.addresses[0]}:{BACKEND_PORT}",
    )
    command = ["nginx", "-e", "stderr", "-p", str(ground.directory)]
    command += ["-c", str(ground.file("tunnel.conf", text))]
    program = ground.processes.start("nginx", command, ground.proxy_core)
    ends = time.monotonic() + PATIENCE
    while True:
        program.require()
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            break
        except OSError as error:
            if time.monotonic() > ends:
                raise NotRunning("nginx does not serve") from error
            time.sleep(0.05)
    return program, ["--cacert", str(ground.directory / "ca.crt"), f"https://127.0.0.1:{port}/1g"]


def _read(ground: Ground, program: Program, words: list[str]) -> tuple[float, float]:
    """(seconds, CPU seconds of the proxy) for a GiB."""
    before, began = program.cpu_seconds, time.monotonic()
    command = ["taskset", "-c", str(ground.load_core), "curl", "-sS", "-f", "-o", "/dev/null", *words]
    subprocess.run(command, check=True, timeout=LONGEST)
    return time.monotonic() - began, program.cpu_seconds - before
