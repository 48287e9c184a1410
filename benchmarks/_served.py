"""What benchmarks of servers share: processes that serve, what they take, and a resources server of NeMo Gym."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

TICK = os.sysconf("SC_CLK_TCK")
_RESOURCES_SERVER = """
import sys, uvicorn
from omegaconf import OmegaConf
from nemo_gym.server_utils import BaseServerConfig, ServerClient
from resources_servers.{module}.app import {server} as Server
port = int(sys.argv[1])
config = Server.model_fields["config"].annotation(
    name="{module}", host="127.0.0.1", port=port, entrypoint="app.py", domain="{domain}")
client = ServerClient(
    head_server_config=BaseServerConfig(host="127.0.0.1", port=1), global_config_dict=OmegaConf.create({{}}))
app = Server(config=config, server_client=client).setup_webserver()
uvicorn.run(app, host="127.0.0.1", port=port, log_level="error", **{settings})
"""


def resources_server(module: str, server: str, domain: str, **settings: Any) -> str:
    """A script that serves one of NeMo Gym's own environments at the port that is its argument.

    Args:
        module: Its folder in `resources_servers`.
        server: Its class.
        domain: What NeMo Gym's configuration says of it.
        **settings: Of uvicorn.
    """
    return _RESOURCES_SERVER.format(module=module, server=server, domain=domain, settings=settings)


class Server:
    """A process that serves."""

    def __init__(self, process: subprocess.Popen[str], port: int) -> None:
        self.pid, self.port = process.pid, port
        with contextlib.suppress(OSError):  # only root may
            os.setpriority(os.PRIO_PROCESS, self.pid, -10)

    @property
    def cpu(self) -> float:
        """Seconds of CPU that it has taken."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICK

    @property
    def memory_mb(self) -> float:
        """Memory that it holds."""
        found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{self.pid}/status").read_text())
        return int(found[1]) / 1024 if found else 0.0


@contextmanager
def started(command: list[Any], path: str = "") -> Generator[Server]:
    """A server, once it takes connections; its port is put in the place of `{port}`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [str(word).replace("{port}", str(port)) for word in command]
    process = subprocess.Popen(words, env={**os.environ, "PYTHONPATH": path}, stdout=subprocess.DEVNULL, text=True)
    try:
        began = time.monotonic()
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            if process.poll() is not None or time.monotonic() - began > 120:
                sys.exit(f"{words[0]}: the server did not start")
            time.sleep(0.1)
        yield Server(process, port)
    finally:
        process.terminate()
        process.wait()
