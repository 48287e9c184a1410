"""A resource server of NeMo Gym: `nemo_gym_server.py MODULE PORT [mcp]`, in an environment that has nemo-gym."""

from __future__ import annotations

import importlib
import sys

import uvicorn
from nemo_gym.base_resources_server import SimpleResourcesServer
from nemo_gym.server_utils import BaseServerConfig, ServerClient
from omegaconf import OmegaConf

module, port, *rest = sys.argv[1:]
app = importlib.import_module(f"resources_servers.{module}.app")
(Server,) = (
    each
    for each in vars(app).values()
    if isinstance(each, type) and issubclass(each, SimpleResourcesServer) and each.__module__ == app.__name__
)
config = Server.model_fields["config"].annotation(
    name=module, host="127.0.0.1", port=int(port), entrypoint="app.py", domain="agent",
    **({"expose_tools_over_mcp": True} if rest else {}),
)  # fmt: skip
client = ServerClient(
    head_server_config=BaseServerConfig(host="127.0.0.1", port=1), global_config_dict=OmegaConf.create({})
)
server = Server(config=config, server_client=client)
served = server.setup_webserver()
if hasattr(server, "setup_exception_middleware"):
    server.setup_exception_middleware(served)
if rest:
    from nemo_gym.mcp_auto_exposure import maybe_auto_expose

    maybe_auto_expose(server, served)
uvicorn.run(served, host="127.0.0.1", port=int(port), log_level="error", timeout_keep_alive=30)
