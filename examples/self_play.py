"""Train a tiny model to play Leduc poker against itself: `python examples/self_play.py --output runs/self_play`.

The model plays both seats, each with its own tokens, and learns from each seat's episodes by plain PyTorch. How good it
is is known exactly: its chances of each move are read off at every decision of the game, and what best play would win
against them is computed. It takes some minutes on a CPU.
"""

from __future__ import annotations

import argparse
import asyncio
import copy
import csv
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from llmgym import Collector, TokenBatch
from llmgym.codec import TemplateCodec
from llmgym.messages import Message, assistant
from llmgym.multiagent.games.leduc import LeducGame
from llmgym.multiagent.games.poker import RANKS, actions, exploitability
from llmgym.policies.transformers import TransformersPolicy
from llmgym.tasks import Task

LEDUC = "llmgym/Leduc-single-v0"
MOVES = {"f": "fold", "c": "call", "r": "raise"}
CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
_MOVE = re.compile("|".join(MOVES.values()))
Place = tuple[str, str, str]  # the card held, the card turned up, and the history


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--steps", type=int, default=150, help="updates of the weights")
    parser.add_argument("--tasks", type=int, default=8, help="deals in a batch")
    parser.add_argument("--repeats", type=int, default=8, help="games of a deal")
    parser.add_argument("--warm-up", type=int, default=150, help="updates that teach what a move is, first")
    parser.add_argument("--lr", type=float, default=3e-4)
    parser.add_argument("--entropy", type=float, default=0.05, help="weight that keeps the play from being predictable")
    parser.add_argument("--every", type=int, default=5, help="updates between two looks at the exploitability")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=Path("runs/self_play"), help="folder for the curve")
    return parser.parse_args(arguments)


def decisions(game: LeducGame, agent: str, said: list[Message]) -> Iterator[tuple[Place, list[Message]]]:
    """Every decision of an agent from here on, with the conversation that it sees then."""
    if game.over:
        return
    mover = game.waiting[0]
    if mover == agent:
        said = [*said, *game.news(agent)]
        yield (game.held(agent), game.public, game.history), said
    for letter in actions(game.history):
        after = copy.deepcopy(game)
        after.say(mover, MOVES[letter])
        yield from decisions(after, agent, [*said, assistant(MOVES[letter])] if mover == agent else said)


def all_decisions() -> dict[Place, list[Message]]:
    """The conversation at each decision of the game; what the other holds makes no difference to it."""
    found: dict[Place, list[Message]] = {}
    for deal in (a + b + c for a in RANKS for b in RANKS for c in RANKS if not a == b == c):
        game = LeducGame()
        game.begin(Task(id=deal, metadata={"deals": [deal]}))
        for agent in game.agents:
            found.update(decisions(copy.deepcopy(game), agent, []))
    return found


def tiny_tokenizer(texts: list[str]) -> Any:
    """A byte-level BPE tokenizer, in which each move is one token, and a sentence that comes often is few."""
    bpe: Any = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    bpe.decoder = decoders.ByteLevel()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    pieces = [piece for text in [*texts, "system\n", "user\n", "assistant\n"] for piece in _MOVE.split(text)]
    trainer = trainers.BpeTrainer(
        vocab_size=2000, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    bpe.train_from_iterator(pieces, trainer)
    bpe.add_tokens([AddedToken(move, normalized=False) for move in MOVES.values()])
    made = PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token="<|im_end|>", pad_token="<|endoftext|>")
    made.chat_template = CHATML
    return made


def tiny_model(tokenizer: Any) -> LlamaForCausalLM:
    """A Llama of some hundred thousand weights."""
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4,
        max_position_embeddings=1024, bos_token_id=None, eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id, tie_word_embeddings=True,
    )  # fmt: skip
    return LlamaForCausalLM(config).eval()


class Reader:
    """Reads a model's play off at every decision.

    Attributes:
        places: The decisions.
        moves: int64[3]; the tokens of fold, call and raise.
        legal: bool[N, 3]; which of fold, call and raise is allowed at each.
    """

    def __init__(self, tokenizer: Any, codec: TemplateCodec) -> None:
        found = all_decisions()
        self.places = list(found)
        prompts = [codec.open(messages, []) for messages in found.values()]
        width = max(map(len, prompts))
        pad = tokenizer.pad_token_id
        self._ids = torch.tensor([[*ids, *[pad] * (width - len(ids))] for ids in prompts])
        self._last = torch.tensor([len(ids) - 1 for ids in prompts])
        self.moves = torch.tensor([tokenizer.convert_tokens_to_ids(move) for move in MOVES.values()])
        self.legal = torch.tensor([[letter in actions(history) for letter in MOVES] for _, _, history in self.places])
        self._end = tokenizer.eos_token_id

    def logprobs(self, model: Any, rows: Any = slice(None)) -> Any:
        """float[N, V]; of what follows each prompt."""
        ids, last = self._ids[rows], self._last[rows]
        hidden = model.model(ids).last_hidden_state[torch.arange(len(ids)), last]
        return model.lm_head(hidden).log_softmax(-1)

    def warm_up(self, model: Any, optimizer: Any) -> float:
        """A step towards any legal move as likely as another, each of which ends the reply; gives the loss."""
        rows = torch.randperm(len(self.places))[:48]
        wanted = self.legal[rows] / self.legal[rows].sum(-1, keepdim=True)
        loss = -(wanted * self.logprobs(model, rows)[:, self.moves]).sum(-1).mean()
        drawn = self.moves[torch.multinomial(wanted, 1)[:, 0]]
        ids = torch.cat([self._ids[rows], self._ids[rows, :1]], dim=1)
        ids[torch.arange(len(rows)), self._last[rows] + 1] = drawn
        hidden = model.model(ids).last_hidden_state[torch.arange(len(rows)), self._last[rows] + 1]
        loss = loss - model.lm_head(hidden).log_softmax(-1)[:, self._end].mean()
        step(model, optimizer, loss)
        return float(loss.detach())

    @torch.no_grad()
    def play(self, model: Any) -> dict[str, float]:
        """How good the play is, and how much of it is legal."""
        chances = self.logprobs(model)[:, self.moves].exp() * self.legal
        share = chances.sum(-1, keepdim=True)
        plays = {
            place: dict(zip(MOVES, row, strict=True))
            for place, row in zip(self.places, (chances / share).tolist(), strict=True)
        }
        return {
            "exploitability": exploitability(lambda card, public, history: plays[card, public, history]),
            "legal": float(share.mean()),
        }


def step(model: Any, optimizer: Any, loss: Any) -> None:
    """Take one step down a loss."""
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()


def learn(model: Any, optimizer: Any, batch: TokenBatch, entropy: float, moves: Any) -> None:
    """A step of REINFORCE: what a seat earned over the mean of its seat in the games of the same deal."""
    positions = (batch.attention_mask.cumsum(1) - 1).clamp(min=0)  # prompts are padded on the left
    hidden = model.model(batch.input_ids, attention_mask=batch.attention_mask, position_ids=positions).last_hidden_state
    logprobs = model.lm_head(hidden[:, batch.prompt_ids.shape[1] - 1 : -1]).log_softmax(-1)
    taken = logprobs.gather(-1, batch.completion_ids[..., None])[..., 0]
    advantage = batch.advantages("dr_grpo")[:, None]
    among = logprobs[..., moves].log_softmax(-1)  # over all tokens, it would pay for what is no move
    spread = -(among.exp() * among).sum(-1)
    gain = taken * advantage + entropy * spread
    step(model, optimizer, -(gain * batch.loss_mask).sum() / batch.loss_mask.sum())


async def play(model: Any, tokenizer: Any, codec: TemplateCodec, args: argparse.Namespace, seed: int) -> TokenBatch:
    """Play a batch of games; both seats are the model."""
    policy = TransformersPolicy(model, tokenizer=tokenizer, device="cpu", max_batch=args.tasks * args.repeats)
    collector = Collector(
        [LEDUC], policy, policies={"player": "train"}, codec=codec, seed=seed, num_tasks=args.tasks,
        num_repeats=args.repeats, num_samples_in_parallel=args.tasks * args.repeats,
        responses_create_params={"temperature": 1.0, "max_output_tokens": 4},
    )  # fmt: skip
    trajectories = [t async for group in collector.stream() for t in group.trajectories]
    await policy.close()
    return TokenBatch.of(trajectories, pad_id=tokenizer.pad_token_id).to_torch()


async def main(args: argparse.Namespace) -> list[dict[str, float]]:
    """Warm up, train, and write the curve."""
    args.output.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(args.seed)
    tokenizer = tiny_tokenizer([message["content"] for messages in all_decisions().values() for message in messages])
    model, codec = tiny_model(tokenizer), TemplateCodec(tokenizer)
    reader = Reader(tokenizer, codec)
    warm_up = torch.optim.Adam(model.parameters(), 2e-3)
    for _ in range(args.warm_up):
        reader.warm_up(model, warm_up)
    optimizer = torch.optim.Adam(model.parameters(), args.lr)
    curve = [{"step": 0, **reader.play(model)}]
    print(curve[-1], flush=True)
    for number in range(1, args.steps + 1):
        learn(model, optimizer, await play(model, tokenizer, codec, args, number), args.entropy, reader.moves)
        if number % args.every == 0:
            curve.append({"step": number, **reader.play(model)})
            print(curve[-1], flush=True)
            save(args.output, curve)
    return curve


def save(folder: Path, curve: list[dict[str, float]]) -> None:
    """Write the curve, so that a run that is stopped has one too."""
    with (folder / "curve.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, curve[0])
        writer.writeheader()
        writer.writerows(curve)


if __name__ == "__main__":
    asyncio.run(main(parse()))
