from __future__ import annotations

import asyncio
import itertools
import json
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import gymnasium
import pytest

from llmgym.envs.customer_service import CustomerService
from llmgym.envs.customer_service.customer import Customer, tells
from llmgym.envs.customer_service.live import CustomerServiceLive
from llmgym.errors import ConfigError, TaskError
from llmgym.messages import Message, assistant, tool_call
from llmgym.policies import ScriptedPolicy
from tests.envs.checks import DEGENERATE, oracle_rewards, play, policy_reward

VARIANTS: dict[str, dict[str, Any]] = {
    "base": {},
    "easy": {"level": "easy", "domains": ["shop"], "max_turns": 20},
    "hard": {"level": "hard", "max_turns": 60},
}


@pytest.fixture(params=VARIANTS)
def arguments(request: pytest.FixtureRequest) -> dict[str, Any]:
    return VARIANTS[request.param]


@pytest.mark.parametrize("split", ["train", "test"])
def test_the_oracle_is_right(arguments: dict[str, Any], split: str) -> None:
    assert oracle_rewards(CustomerService(**arguments, split=split), 20) == [1.0] * 20


@pytest.mark.slow
@pytest.mark.parametrize("policy", DEGENERATE)
def test_degenerate_policies_earn_nothing(arguments: dict[str, Any], policy: str) -> None:
    assert policy_reward(CustomerService(**arguments), DEGENERATE[policy], 20) == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    "said",
    [
        "I am sorry, I cannot do that. It is against the policy.",
        "That is done. Is there anything else?",
        "Yes, of course. I will do that for you.",
        "I hand you over to a supervisor.",
        "Could you please give me your email, the number and all details? Shall I go ahead?",
        " ".join(map(str, range(5000))),
    ],
)
def test_who_says_the_same_to_all_earns_nothing(arguments: dict[str, Any], said: str) -> None:
    assert policy_reward(CustomerService(**arguments), lambda env, turn: said, 10) == 0


def test_tasks_are_many_and_splits_are_apart(arguments: dict[str, Any]) -> None:
    env = _made(**arguments)
    assert len({env.tasks.draw("train", seed, 0).content_hash for seed in range(300)}) == 300
    assert not {env.tasks.draw("test", s, 0).content_hash for s in range(40)} & {
        env.tasks.draw("train", s, 0).content_hash for s in range(300)
    }


def _made(**arguments: Any) -> CustomerService:
    env = CustomerService(**arguments)
    assert isinstance(env, CustomerService)
    return env


class Agent:
    """An agent that decides as the oracle does, and words what it says in its own way."""

    def __init__(self, ask: str, again: str, confirm: str, done: str, refuse: str, told: str) -> None:
        self.ask, self.again, self.confirm, self.done, self.refuse, self.told = ask, again, confirm, done, refuse, told

    def play(self, env: CustomerService) -> Iterator[Message | str]:
        customer = env.customer
        asked = 0
        for index, wish in enumerate(customer.script["wishes"]):
            while customer.hidden:
                yield (self.again if asked else self.ask)
                asked += 1
            decision = env.domain.decide(env.policy, env.today, env.before, next(iter(env.before["customers"])), wish)
            if decision.outcome != "deny" and self.confirm:
                yield self.confirm
                assert env.transcript[-1]["content"].startswith("Yes"), env.transcript[-1]["content"]
            if decision.outcome == "hand_over":
                yield assistant("", tool_call("hand_over", reference=wish["target"]))
            elif decision.outcome == "allow":
                name, arguments = env.domain.call(wish, decision)
                yield assistant("", tool_call(name, **arguments))
            for _ in range(5):
                if customer.index == index and not customer.done:
                    told = self.told.format(wish["value"])
                    yield told if customer.asks_value else self.refuse if decision.outcome == "deny" else self.done


AGENTS = [
    Agent(
        "I'd be happy to help you with that! To get started, could you please provide me with the email address "
        "associated with your account?",
        "Thank you! Now, could you please share the order ID or booking code, along with any other relevant details?",
        "I've located it. The refund would be $34.00, which goes back to you in 5 days. Would you like me to proceed?",
        "All set! Your request has been processed. Is there anything else I can help you with today?",
        "I'm sorry, but unfortunately this isn't eligible under our policy, as the window has passed. Is there "
        "anything else I can assist you with?",
        "According to our records, the total you paid was **${:,.2f}**. Is there anything else?",
    ),
    Agent("", "", "", "", "No, it cannot be done.", "{}"),
    Agent(
        "Sure, I can help.", "Let me check that for you.", "Shall I go ahead? (yes/no)", "Done!",
        "I apologize, but I'm unable to do that.", "You paid {} dollars.",
    ),
    Agent(
        "Before I can proceed, I'll need to verify your identity. What is your full name and email?",
        "Which one is it? What exactly would you like?",
        "Just to confirm: you want me to do this, and the amount is 12.50. Is that correct?",
        "I have done it for you.",
        "As per our policy, that can only be accepted within 30 days. Would you like store credit instead?",
        "That would be ${:.2f}, all in all.",
    ),
    Agent(
        "Hello! Who am I talking to, and what is the reference?",
        "I still need some information: which flight or product is it, when, where to, how many?",
        "Please confirm that I should carry this out, and I will do so right away.",
        "It's taken care of. Have a great day!",
        "Regrettably I must decline: rules are rules, and nothing can be done about it. I can't make exceptions.",
        "The total was {}.",
    ),
    Agent(
        "<think>I should ask.</think>Please share your details so that I can look into this.",
        "I wasn't able to find that. Could you double-check the number, the date, the item and the address?",
        "Okay! Do you want me to do it now?",
        "Completed.",
        "Not possible, I'm afraid: it has already been shipped.",
        "You were charged {:.2f}.",
    ),
]  # fmt: skip


@pytest.mark.parametrize("agent", AGENTS, ids=range(len(AGENTS)))
def test_the_customer_understands_any_wording(agent: Agent, arguments: dict[str, Any]) -> None:
    env = _made(**{**arguments, "max_turns": 80})
    for seed in range(40):
        env.reset(seed=seed)
        assert play(env, itertools.chain(agent.play(env), [""] * 80)) == 1, env.transcript


def _script(**wish: Any) -> Customer:
    about = {"target": "W1234", "noun": "order", "hint": "it is the order with the vase", "value": 84.25}
    returns = {
        **about, "kind": "return", "item": "lamp", "slots": [["item", "It is the lamp."]], "told": [],
        "sentence": "I want to return something.", **wish,
    }  # fmt: skip
    script = {"email": "a.b@example.com", "opening": "Hi! I want to return something.", "wishes": [returns]}
    return Customer(script, lambda wish: False)


@pytest.mark.parametrize(
    ("said", "answered"),
    [
        ("What's your e-mail?", "My email is a.b@example.com."),
        ("Can you tell me the order number?", "The order is W1234."),
        ("Which product is it?", "It is the lamp."),
        ("May I have your email and order number, please?", "My email is a.b@example.com. The order is W1234."),
        ("I cannot proceed without your email.", "My email is a.b@example.com."),
        ("I could not find that. What is the order number?", "The order is W1234."),
        ("Happy to help!", "My email is a.b@example.com."),
        ("", "My email is a.b@example.com."),
        ("Unfortunately we can't take it back.", "That is a pity. That is all. Goodbye."),
    ],
)
def test_what_the_customer_answers_first(said: str, answered: str) -> None:
    assert _script().hear(said) == answered


@pytest.mark.parametrize(
    ("said", "answered"),
    [
        ("Shall I go ahead?", "Yes, please go ahead."),
        ("The refund is $30. Would you like to proceed?", "Yes, please go ahead."),
        ("Can I offer you store credit instead?", "No, thank you, I only want what I asked for."),
        ("It is $30 less a non-refundable fee, and can't be undone. Shall I go ahead?", "If you can do what I asked"),
        ("Let me check that.", "All right, I will wait."),
        ("May I ask why you return it?", "I changed my plans, that is all."),
        ("Should it be refunded to the original payment method?", "Yes, the way that I paid, please."),
        ("Could you repeat the order number?", "The order is W1234."),
        ("I'm sorry, it's not eligible for a return. Would you like to exchange it instead?", "No, thank you."),
        ("It is returned. Is there anything else I can help you with?", "Is that done now?"),
    ],
)
def test_what_the_customer_answers_when_all_is_told(said: str, answered: str) -> None:
    customer = _script()
    customer.hear("What is your email, the order number and the item?")
    assert not customer.hidden
    assert customer.hear(said).startswith(answered)


def test_who_refuses_and_asks_is_believed_in_the_end() -> None:
    customer = _script()
    customer.hear("What is your email, the order number and the item?")
    said = [customer.hear("That is not possible. Do you agree?") for _ in range(4)]
    assert said[-1] == "That is a pity. That is all. Goodbye."
    assert len(set(said[:-1])) == 1


def test_a_plea_comes_once() -> None:
    customer = _script(plea="Please!")
    assert [customer.hear("No, I can't do that.") for _ in range(2)] == [
        "Please!",
        "That is a pity. That is all. Goodbye.",
    ]


def test_a_change_of_mind_comes_with_the_email() -> None:
    customer = _script(first_said="vase")
    assert customer.hear("Your email?") == "My email is a.b@example.com. Wait, not the vase. It is the lamp."


def test_a_number_that_is_not_known_is_described() -> None:
    assert _script(forgets=True).hear("The order number, please?").endswith("it is the order with the vase.")


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "text", ["a " * 50_000, "?" * 50_000, "." * 50_000, "please provide " * 9_000, "\x00" * 9, "no\n" * 9_000]
)
def test_hostile_text_is_heard_quickly(text: str) -> None:
    for _ in range(20):
        _script().hear(text)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("The total was $84.25.", True),
        ("**$84.25**", True),
        ("84.25", True),
        ("You paid 84.25 dollars for 2 things.", True),
        ("Order W1234 of 2025-05-14: lamp $31.25, vase $53.00, so **$84.25** in total.", True),
        ("You paid $84.25 in total, for order W1234 with 2 items at $31.25 and $53.00.", True),
        ("Total: $31.25 + $53.00 = $84.25", True),
        ("- Lamp: $31.25\n- Vase: $53.00\n\nTotal paid: **$84.25**", True),
        ("- Lamp: $31.25\n- Vase: $53.00\n$84.25", True),
        ("You paid $84.25, including a fee of $5.00.", True),
        ("I charged $28.00 for the bags. The total that you paid is $84.25.", True),
        ("The total was $84.20.", False),
        ("You paid $84.25, $104.50, $161.00 in total.", False),
        ("You paid $104.50, 161.00 and 84.25 in total.", False),
        ("You paid $84.25 in total.\nYou paid $104.50 in total.", False),
        ("It is $84.25 or $104.50.", False),
        ("$84.25, $1, $2, $3, $4, $5", False),
        (" ".join(map(str, range(100))), False),
        ("", False),
    ],
)
def test_amounts_are_told_alone(text: str, told: bool) -> None:
    assert tells(text, 84.25) == told


def test_what_was_kept_back_of_a_wish_is_forgotten_with_it() -> None:
    customer = _script()
    customer.script["wishes"].append({**customer.wish, "kind": "cancel", "slots": [], "sentence": "Cancel it."})
    assert customer.hear("I can't do that.") == "That is a pity. Cancel it."
    assert set(customer.hidden) == {"email", "target"}
    assert [customer.hear("") for _ in range(2)] == ["My email is a.b@example.com.", "The order is W1234."]


ORACLE = CustomerService(level="medium")


def _messages(seed: int) -> list[Message | str]:
    ORACLE.reset(seed=seed)
    assert ORACLE.task is not None
    messages: list[Message | str] = []

    def noted() -> Iterator[Message | str]:
        for message in ORACLE.oracle(ORACLE.task):  # type: ignore[arg-type]
            messages.append(message)
            yield message

    assert play(ORACLE, noted()) == 1
    return messages


def _changed(message: Message | str) -> bool:
    called = "" if isinstance(message, str) else message["tool_calls"][0]["function"]["name"]  # type: ignore[typeddict-item]
    return called.startswith(("cancel", "return", "change", "add", "hand"))


def test_near_misses_earn_nothing() -> None:
    env = _made(level="medium")
    for seed in range(30):
        messages = _messages(seed)
        place = next(i for i, message in enumerate(messages) if _changed(message))
        call: Any = cast("Any", messages[place])["tool_calls"][0]["function"]
        wrong: list[list[Message | str]] = [[*messages[:place], *messages[place + 1 :]]]
        arguments = json.loads(call["arguments"])
        for name in ("refund", "charge", "bags"):
            if name in arguments:
                for other in (arguments[name] + 1, arguments[name] * 1.05 + 0.01, -1, "all"):
                    changed = tool_call(call["name"], **{**arguments, name: other})
                    wrong.append([*messages[:place], assistant("", changed), *messages[place + 1 :]])
        for actions in wrong:
            env.reset(seed=seed)
            assert play(env, [*actions, *["No, I can't."] * 40]) == 0


def test_who_grants_every_wish_earns_little() -> None:
    env = _made(level="medium")
    won = 0.0
    for seed in range(60):
        env.reset(seed=seed)
        actions: list[Message | str] = []
        for wish in env.customer.script["wishes"]:
            customer = next(iter(env.before["customers"]))
            decision = env.domain.decide(env.policy, env.today, env.before, customer, wish)
            name, arguments = env.domain.call(wish, decision)
            actions.append(assistant("", tool_call(name, **arguments)))
        won += play(env, [*actions, *["Done. Anything else?"] * 30])
    assert won / 60 < 0.2


@pytest.mark.parametrize(
    ("name", "arguments", "says"),
    [
        ("find_customer", {"email": "nobody@example.com"}, "there is no customer with the email"),
        ("find_customer", {"email": "x" * 10_000}, "there is no customer"),
        ("get_order", {"order_id": "W1"}, "there is no order 'W1'; look it up"),
        ("get_order", {"order_id": None}, "invalid arguments"),
        ("list_orders", {"customer_id": "C1"}, "there is no customer 'C1'"),
        ("cancel_order", {"order_id": "OWN", "refund": -1}, "the amount is -1"),
        ("cancel_order", {"order_id": "OWN", "refund": 1e9}, "the amount is"),
        ("cancel_order", {"order_id": "OWN", "refund": "much"}, "invalid arguments"),
        ("return_item", {"order_id": "OWN", "item": "moon", "refund": 1}, "has no item 'moon' to take back; it has"),
        ("change_address", {"order_id": "OWN", "street": "", "city": "Rome"}, "street and city have"),
        ("change_address", {"order_id": "OWN", "street": "x" * 999, "city": "Rome"}, "street and city have"),
        ("hand_over", {"reference": "W1"}, "there is no order"),
        ("get_booking", {"booking_code": "BCD123"}, "there is no tool 'get_booking'"),
    ],
)
def test_mistakes_with_tools_are_answered(name: str, arguments: dict[str, Any], says: str) -> None:
    env = _made(domains=["shop"])
    env.reset(seed=0)
    own = next(key for key, order in env.before["orders"].items() if order["status"] != "cancelled")
    given = {key: own if value == "OWN" else value for key, value in arguments.items()}
    content = env.step(assistant("", tool_call(name, **given)))[0][0]["content"]
    assert says.lower() in content.lower()
    assert len(content) < 500
    assert env.tables == env.before


def test_airline_tools() -> None:
    env = _made(domains=["airline"])
    env.reset(seed=0)
    code, booking = next(iter(env.before["bookings"].items()))
    for name, arguments, says in (
        ("get_booking", {"booking_code": code.lower()}, "flight_number"),
        ("find_flights", {"origin": "nowhere", "destination": "x"}, "[]"),
        ("change_flight", {"booking_code": code, "flight_number": booking["flight"], "charge": 0}, "already"),
        ("change_flight", {"booking_code": code, "flight_number": "F1", "charge": 0}, "there is no flight"),
        ("add_bags", {"booking_code": code, "bags": 0, "charge": 0}, "1 to 100"),
        ("add_bags", {"booking_code": code, "bags": 1.5, "charge": 0}, "invalid arguments"),
    ):
        content = env.step(assistant("", tool_call(name, **arguments)))[0][0]["content"]
        assert says in content
    assert env.tables == env.before


def test_a_model_plays_the_customer() -> None:
    said = iter(["My email? Of course.", "Thank you. END"])
    model = ScriptedPolicy(lambda messages, tools: next(said))
    env = CustomerServiceLive(models={"user": model})

    async def talk() -> None:
        await env.areset(seed=0)
        observation, *_ = await env.astep("Your email?")
        assert observation[0]["content"] == "My email? Of course."
        _, reward, terminated, _, _ = await env.astep("Thank you.")
        assert terminated
        assert reward == 0

    asyncio.run(talk())


def test_own_tasks(tmp_path: Path) -> None:
    task = CustomerService().tasks.draw("train", 3, 0)
    path = tmp_path / "mine.jsonl"
    row = {"prompt": task.prompt, "answer": task.answer, "metadata": task.metadata}
    path.write_text(json.dumps(row))
    env = gymnasium.make("llmgym/CustomerService-v0", tasks=str(path)).unwrapped
    assert isinstance(env, CustomerService)
    assert oracle_rewards(env, 1) == [1.0]
    for change, says in (
        ({"metadata": {"policy": "Be kind.", "customer_scenario": "Cancel."}}, "a model plays"),
        ({"metadata": {**task.metadata, "domain": "bank"}}, "there is shop, airline"),
        ({"answer": "done"}, "the answer is an object"),
    ):
        path.write_text(json.dumps({**row, **change}))
        with pytest.raises(TaskError, match=says):
            CustomerService(tasks=path).reset(seed=0)


def test_wrong_arguments_are_refused() -> None:
    for arguments in ({"level": "harder"}, {"domains": []}, {"domains": ["bank"]}):
        with pytest.raises(ConfigError):
            CustomerService(**arguments)  # type: ignore[arg-type]


def test_tasks_travel_to_other_processes() -> None:
    tasks = CustomerService().tasks
    assert pickle.loads(pickle.dumps(tasks)).draw("train", 1, 2) == tasks.draw("train", 1, 2)
