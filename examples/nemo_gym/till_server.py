"""A resources server of NeMo Gym, beside which till.py is the same environment: `python till_server.py PORT`.

It needs nemo-gym 0.7 and Python 3.13. NeMo Gym starts it by a configuration and its head server; so small a script is
enough for `llmgym/NeMoGym-v0`.
"""

from __future__ import annotations

import sys

import uvicorn
from fastapi import FastAPI, Request
from nemo_gym.base_resources_server import (
    BaseResourcesServerConfig,
    BaseSeedSessionRequest,
    BaseSeedSessionResponse,
    BaseVerifyRequest,
    BaseVerifyResponse,
    SimpleResourcesServer,
)
from nemo_gym.server_utils import SESSION_ID_KEY, BaseServerConfig, ServerClient
from omegaconf import OmegaConf
from pydantic import BaseModel, Field


class Item(BaseModel):
    """What is bought."""

    price: int
    count: int = 1


class Total(BaseModel):
    """What it comes to."""

    total: int


class TillVerifyRequest(BaseVerifyRequest):
    """A row, and what the model said."""

    expected_total: int


class Till(SimpleResourcesServer):
    """Add up what a customer buys."""

    config: BaseResourcesServerConfig
    totals: dict[str, int] = Field(default_factory=dict)

    def setup_webserver(self) -> FastAPI:
        app = super().setup_webserver()
        app.post("/add_item")(self.add_item)
        return app

    async def seed_session(self, request: Request, body: BaseSeedSessionRequest) -> BaseSeedSessionResponse:
        self.totals[request.session[SESSION_ID_KEY]] = 0
        return BaseSeedSessionResponse()

    async def add_item(self, request: Request, body: Item) -> Total:
        session = request.session[SESSION_ID_KEY]
        self.totals[session] += body.price * body.count
        return Total(total=self.totals[session])

    async def verify(self, request: Request, body: TillVerifyRequest) -> BaseVerifyResponse:
        total = self.totals.pop(request.session[SESSION_ID_KEY])
        return BaseVerifyResponse(**body.model_dump(), reward=float(total == body.expected_total))


if __name__ == "__main__":
    port = int(sys.argv[1])
    config = BaseResourcesServerConfig(
        name="till", host="127.0.0.1", port=port, entrypoint="till_server.py", domain="agent"
    )
    head = BaseServerConfig(host="127.0.0.1", port=1)  # there is none
    client = ServerClient(head_server_config=head, global_config_dict=OmegaConf.create({}))
    uvicorn.run(Till(config=config, server_client=client).setup_webserver(), host="127.0.0.1", port=port)
