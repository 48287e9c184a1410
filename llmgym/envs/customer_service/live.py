"""Customer service with a model as the customer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llmgym.envs.customer_service import CustomerService
from llmgym.messages import Message, assistant, system, user


class CustomerServiceLive(CustomerService):
    """`CustomerService` with a model as the customer, in the role `user`; everything else is the same.

    ## Description

    The model gets the script of the state machine's customer: who it is, and its wishes in their order.

    ## Rewards

    As in `CustomerService`; what the model says differs from one run to the next.

    ## Registered Variants

    - `llmgym/CustomerServiceLive-v0`: `gymnasium.make(id, models={"user": "openai:gpt-5"})`.

    ## Version History

    - v0: first version.
    """

    roles = ("user",)

    async def respond(self, message: Message) -> Any:
        """Let the model answer; it ends the conversation with END."""
        talk = [each for each in self.transcript if each["role"] in ("user", "assistant") and each["content"]]
        turned = [assistant(m["content"]) if m["role"] == "user" else user(m["content"]) for m in talk]
        reply = await self.models["user"].chat(
            [system(_persona(self.customer.script)), user("(The chat opens.)"), *turned]
        )
        said = reply["content"].replace("END", "").strip()
        if "END" in reply["content"]:
            self.customer.done = True
            self.finish()
        return said or "Goodbye."


def _persona(script: Mapping[str, Any]) -> str:
    lines = [
        "You play a customer who writes to a service desk. Stay in this role, write one short message at a time, and "
        "tell only what you are asked for. Never offer to do the desk's work.",
        f"Your email is {script['email']}. You have these wishes; come to the next one only when the last one has been "
        "done or clearly refused:",
    ]
    for number, wish in enumerate(script["wishes"], 1):
        facts = [f"The {wish['noun']} is {wish['target']}.", *(text for _, text in wish.get("slots", []))]
        if wish.get("asks_value"):
            facts.append(f"After it, ask what you paid in total for this {wish['noun']}.")
        lines.append(f"{number}. {wish['sentence']} {' '.join(facts)}")
    return "\n".join([*lines, "Say yes when you are asked to go ahead with a wish. After the last one, write END."])
