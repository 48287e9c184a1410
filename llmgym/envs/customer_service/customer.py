"""The customer: a state machine over wishes, that answers what it is asked however that is worded.

A message that asks for something gets it; one that asks for nothing gets what is still missing; one that refuses is
believed, at times after a plea; one that only says to wait is waited for. What has been done it sees in the data.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from llmgym.envs.customer_service.desk import Wish
from llmgym.verifiers.text import folded, without_thoughts

_MOST = 8_000  # characters of a message that are read
_PATIENCE = 3  # times that the customer waits, or says yes, for one wish

_SENTENCE = re.compile(r"[^.?!\n]*(?:[.?!](?=\S)[^.?!\n]*)*[.?!\n]*")
_ASKS = re.compile(
    r"\?|\b(?:please|provide|need|needs|require|tell me|let me know|share|give|send|may i|could you|can you|would you"
    r"|what|which|confirm|verify|specify|clarify|state|enter|missing)\b"
)
_SLOTS = {
    "email": r"e-?mail|account|customer (?:id|number)|identif|verif|\bname\b|who (?:you are|am i)|contact|authenticat",
    "target": r"\border|booking|reservation|reference|\bcode\b|number|\bid\b|which (?:one|of)|\bpnr\b|ticket|\btrip\b",
    "item": r"item|product|article|\bwhich\b|what (?:would|do|are|exactly)|return|goods",
    "address": r"address|street|\bcity\b|\btown\b|where|location|deliver",
    "count": r"how many|number|\bbags?\b|luggage|baggage|amount|quantity",
    "day": r"\bdates?\b|\bdays?\b|\bwhen\b|\bwhich\b|flight|\btimes?\b|\bnew\b|prefer",
}
_SLOT = {name: re.compile(pattern) for name, pattern in _SLOTS.items()}
_CONFIRM = re.compile(
    r"\b(?:shall i|should i|may i|can i|want me to|like me to|do you (?:want|wish|confirm|agree|accept|still)"
    r"|would you (?:like|want)|is (?:that|this|it) (?:ok|okay|correct|right|fine|all right|acceptable)|are you sure"
    r"|proceed|go ahead|confirm|agree|correct\?|right\?|okay\?|ok\?|yes or no|yes/no|\(yes|\"yes\")"
)
_OTHER = re.compile(r"\b(?:instead|alternative(?:ly)?|other option|another option|different option|store credit)\b")
_MORE = re.compile(r"\b(?:anything|something) else\b|\bany other\b|\bfurther (?:help|assist|question)|\belse i can\b")
_REFUSES = re.compile(
    r"\b(?:can(?:no|')?t|can not|won't|will not|couldn't|could not|unable|not able|not (?:be )?possible|impossible"
    r"|refuse|decline|(?:is|are|was|were)(?:n't| not) (?:eligible|allowed|permitted|refundable|returnable|changeable"
    r"|cancell?able|valid|available|covered|something)|ineligible|non-?(?:refundable|returnable|changeable)|denied"
    r"|not (?:eligible|allowed|permitted|authorized|authorised|something)|doesn't allow|does not (?:allow|permit)"
    r"|don't allow|no exceptions?|not in a position|against (?:our|the) polic|outside (?:of )?(?:our|the|your) "
    r"|too late|no longer|only (?:be )?(?:accept|possible|allow|available|cancel|return|chang|eligible)\w*)\b"
)
_NOT_FOUND = re.compile(
    r"\b(?:find|found|locate|see any|match|look up|recogni[sz]e|no record|identify|read|understand)\b"
)
_UNTIL = re.compile(
    r"\b(?:without|until|unless|once|before)\b.*\b(?:your|you|e-?mail|number|information|details|verif|confirm)"
)
_WAIT = re.compile(
    r"\b(?:one moment|a moment|just a (?:moment|second|minute)|please wait|hold on|bear with me|let me|i(?:'ll| will)"
    r"|i(?:'m| am) (?:going|checking|looking|processing)|checking|looking (?:it|this|that|into|up)|working on)\b"
)
_WHY = re.compile(r"\bwhy\b|\breason\b")
_PAYMENT = re.compile(r"payment method|original (?:form|method|payment)|gift ?card|store credit or|refunded to")
_PIECE = r"[$€£]?[ ]?(?<!\d)\d[\d,]{0,11}(?!\d)(?:\.\d{1,4}(?!\d))?"
_NUMBER = re.compile(r"(?<![\w/:-])\d[\d,]*(?:\.\d+)?(?![\w/:-]*\d)")  # dates and codes are none
_MONEY = re.compile(
    r"[$€£][ ]?(\d[\d,]{0,11}(?!\d)(?:\.\d+)?)|(?<!\d)(\d[\d,]{0,11}(?!\d)(?:\.\d+)?)(?=[ ]?(?:dollars|usd)\b)"
    r"|(?<!\d)(\d[\d,]{0,11}\.\d\d)(?!\d)",
    re.I,
)
_OR = r"[ ]?(?:/|\bor\b)[ ]?"
_LIST = re.compile(rf"(?:{_PIECE}[ ]?(?:,|;|/|\bor\b|\band\b)+[ ]?){{2}}{_PIECE}|{_PIECE}{_OR}{_PIECE}", re.I)
#: What says that a number is the one that is told, the surest first.
_STATED = tuple(
    re.compile(pattern.replace("N", _PIECE), re.I)
    for pattern in (
        r"=[ ]?(N)",
        r"(N)[ ]?(?:dollars|usd)?[ ]?(?:in total|in all|altogether|total\b)"
        r"|(?:total|altogether|in all)\b[^\d\n]{0,30}(N)",
        r"(?:paid|pay|charged|cost|came to|comes to|amounts? to|amount(?:ed)? (?:is|was)|spent)\b[^\d\n]{0,20}(N)",
    )
)


class Customer:
    """A customer with wishes, in the middle of a conversation.

    Attributes:
        script: Who it is and what it wants; see `problems`.
        index: The place of the wish that it has now.
        asks_value: Whether the wish is dealt with, and only what was paid is still to be told.
        hidden: What the customer has not told yet, by name.
        done: Whether it has ended the conversation.
    """

    def __init__(self, script: Mapping[str, Any], fulfilled: Callable[[Wish], bool]) -> None:
        """Start a conversation.

        Args:
            script: Who it is and what it wants.
            fulfilled: Whether something was done about a wish.
        """
        self.script = script
        self._fulfilled = fulfilled
        self.done = False
        self.hidden: dict[str, str] = {}
        if "email" not in script["opening"]:
            self.hidden["email"] = self._identity()
        self._begin(0)

    @property
    def wish(self) -> Wish:
        """The wish that it has now."""
        return self.script["wishes"][self.index]

    def hear(self, text: str) -> str:
        """Answer a message of the agent."""
        said = folded(without_thoughts(text))[:_MOST].lower().replace("*", "")
        sentences = [s for s in _SENTENCE.findall(said) if s.strip() and not _MORE.search(s)]
        if self.asks_value:
            return self._hear_value(said, sentences)
        if self._fulfilled(self.wish):
            return self._next("Thank you.")
        asking = [s for s in sentences if _ASKS.search(s)]
        asked = [name for name in self.known if any(_SLOT[name].search(s) for s in asking)]
        if new := [name for name in asked if name in self.hidden]:
            return self._tell(new)
        confirms = any(_CONFIRM.search(s) for s in asking)
        if any(_REFUSES.search(s) and not _NOT_FOUND.search(s) and not _UNTIL.search(s) for s in sentences):
            # "This cannot be undone. Shall I go ahead?" is no refusal; what else it may be, the agent has to say.
            if confirms and not _OTHER.search(said) and not self.hidden and self._patient("unclear"):
                return "If you can do what I asked for, please go ahead. If you cannot, please say so."
            return self._refused(said)
        if confirms and _OTHER.search(said):
            return "No, thank you, I only want what I asked for."
        if not self.hidden and any(_WHY.search(s) for s in asking) and self._patient("why"):
            return "I changed my plans, that is all."
        if not self.hidden and any(_PAYMENT.search(s) for s in asking) and self._patient("payment"):
            return "Yes, the way that I paid, please."
        if confirms and not self.hidden and self._patient("yes"):
            return "Yes, please go ahead."
        if self.hidden:
            return self._tell([next(iter(self.hidden))])
        if asked:
            return self._tell(asked)
        return self._wait(sentences)

    def _begin(self, index: int) -> None:
        """Turn to a wish."""
        self.index = index
        self.asks_value, self._pleaded, self._doubts = False, False, 0
        self._spent: dict[str, int] = {}
        wish = self.wish
        told = wish["told"]
        self.known = {"email": self._identity(), "target": _reference(wish), **dict(wish.get("slots", []))}
        self.hidden = {name: text for name, text in self.hidden.items() if name == "email"}
        self.hidden |= {name: text for name, text in self.known.items() if name != "email" and name not in told}

    def _identity(self) -> str:
        return f"My email is {self.script['email']}."

    def _tell(self, names: list[str]) -> str:
        parts = [self.known[name] for name in names]
        if "email" in names and "email" in self.hidden and self.wish.get("first_said"):
            # A change of mind comes with the first thing that an agent has to know.
            parts.append(f"Wait, not the {self.wish['first_said']}. {self.known['item']}")
            self.hidden.pop("item", None)
        for name in names:
            self.hidden.pop(name, None)
        return " ".join(dict.fromkeys(parts))

    def _refused(self, said: str) -> str:
        if self.wish.get("plea") and not self._pleaded:
            self._pleaded = True
            return self.wish["plea"]
        return self._next("No, thank you." if _OTHER.search(said) else "That is a pity.")

    def _wait(self, sentences: list[str]) -> str:
        """Answer what neither asks nor refuses: wait, or ask what has become of it, and then take it as it is."""
        if any(_WAIT.search(s) for s in sentences) and self._patient("wait"):
            return "All right, I will wait."
        self._doubts += 1
        if self._doubts <= 2:
            return "Is that done now? If you cannot do it, please say so."
        return self._next("Well.")

    def _patient(self, what: str) -> bool:
        self._spent[what] = self._spent.get(what, 0) + 1
        return self._spent[what] <= _PATIENCE

    def _hear_value(self, said: str, sentences: list[str]) -> str:
        if tells(said, self.wish["value"]):
            return self._next("Thank you.")
        if any(_WAIT.search(s) for s in sentences) and self._patient("wait"):
            return "All right, I will wait."
        self._doubts += 1
        return f"I mean: {self._value_question()}" if self._doubts <= 2 else self._next("Well.")

    def _value_question(self) -> str:
        return f"how much did I pay in total for {self.wish['noun']} {self.wish['target']}?"

    def _next(self, word: str) -> str:
        if self.wish.get("asks_value") and not self.asks_value:
            self.asks_value, self._doubts, self._spent = True, 0, {}
            question = self._value_question()
            return f"{word} One more question: {question}"
        if self.index + 1 < len(self.script["wishes"]):
            self._begin(self.index + 1)
            return f"{word} {self.wish['sentence']}"
        self.done = True
        return f"{word} That is all. Goodbye."


def _reference(wish: Wish) -> str:
    if wish.get("forgets"):
        return f"I do not have the number at hand, {wish['hint']}."
    return f"The {wish['noun']} is {wish['target']}."


def tells(text: str, value: float) -> bool:
    """Whether a message tells a number, and no other one in its place."""
    said = text[:_MOST].replace("*", "")
    if _LIST.search(said):
        return False
    money = [next(group for group in match.groups() if group) for match in _MONEY.finditer(said)]
    numbers = {_value(number) for number in money or _NUMBER.findall(said)}
    if value not in numbers or len(numbers) == 1:
        return value in numbers
    for pattern in _STATED:
        stated = {_value(group) for match in pattern.finditer(said) for group in match.groups() if group}
        if stated:
            return stated == {value}
    return math.isclose(sum(numbers), 2 * value)  # prices, and what they come to


def _value(number: str) -> float:
    return float(re.sub(r"[^\d.]", "", number).rstrip("."))
