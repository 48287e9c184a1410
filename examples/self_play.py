"""Train a tiny model to play Leduc poker against itself: `python examples/self_play.py --output runs/self_play`.

It first learns what a move is: half any legal one, half that of the game's script. Then it plays both seats, each with
its own tokens, and learns from each seat's episodes by plain PyTorch. How good it is is known exactly: its chances of
each move are read off at every decision of the game, and what best play would win against them is computed. So it is
for the mean of the newest weights, and for a pool of earlier ones, of which one is drawn for each hand: in self-play
those of one step run after the last mistakes. It takes some minutes on one core.
"""

from __future__ import annotations

import argparse
import asyncio
import copy
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from llmgym import Collector, TokenBatch
from llmgym.codec import TemplateCodec
from llmgym.messages import Message, assistant
from llmgym.multiagent.games.leduc import LeducGame
from llmgym.multiagent.games.poker import RANKS, Strategy, actions, cautious, exploitability, mixture, uniform
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
    parser.add_argument("--steps", type=int, default=200, help="updates of the weights")
    parser.add_argument("--tasks", type=int, default=12, help="deals in a batch")
    parser.add_argument("--repeats", type=int, default=16, help="games of a deal")
    parser.add_argument("--warm-up", type=int, default=200, help="updates that teach what a move is, first")
    parser.add_argument("--lr", type=float, default=2e-4, help="at the start; a fifth of it at the end")
    parser.add_argument("--entropy", type=float, default=0.06, help="weight of being unpredictable; a fifth at the end")
    parser.add_argument("--mean", type=float, default=0.97, help="share of the mean weights that stays in an update")
    parser.add_argument("--every", type=int, default=10, help="updates between two looks at the exploitability")
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
        script = torch.tensor([[cautious(*place).get(letter, 0.0) for letter in MOVES] for place in self.places])
        self._wanted = (self.legal / self.legal.sum(-1, keepdim=True) + script) / 2
        self._end = tokenizer.eos_token_id

    def logprobs(self, model: Any, rows: Any = slice(None)) -> Any:
        """float[N, V]; of what follows each prompt."""
        ids, last = self._ids[rows], self._last[rows]
        hidden = model.model(ids).last_hidden_state[torch.arange(len(ids)), last]
        return model.lm_head(hidden).log_softmax(-1)

    def warm_up(self, model: Any, optimizer: Any) -> float:
        """A step towards half any legal move, half the script's, each of which ends the reply; gives the loss."""
        rows = torch.randperm(len(self.places))[:96]
        wanted = self._wanted[rows]
        loss = -(wanted * self.logprobs(model, rows)[:, self.moves]).sum(-1).mean()
        drawn = self.moves[torch.multinomial(wanted, 1)[:, 0]]
        ids = torch.cat([self._ids[rows], self._ids[rows, :1]], dim=1)
        ids[torch.arange(len(rows)), self._last[rows] + 1] = drawn
        hidden = model.model(ids).last_hidden_state[torch.arange(len(rows)), self._last[rows] + 1]
        loss = loss - model.lm_head(hidden).log_softmax(-1)[:, self._end].mean()
        step(model, optimizer, loss)
        return float(loss.detach())

    @torch.no_grad()
    def play(self, model: Any) -> Strategy:
        """How a model plays: what it says, of what is legal."""
        chances = self.logprobs(model)[:, self.moves].exp() * self.legal
        rows = (chances / chances.sum(-1, keepdim=True)).tolist()
        plays = {
            place: {letter: chance for letter, chance in zip(MOVES, row, strict=True) if letter in actions(place[2])}
            for place, row in zip(self.places, rows, strict=True)
        }
        return lambda card, public, history: plays[card, public, history]

    @torch.no_grad()
    def legality(self, model: Any) -> float:
        """How much of what a model says is legal."""
        return float((self.logprobs(model)[:, self.moves].exp() * self.legal).sum(-1).mean())


def step(model: Any, optimizer: Any, loss: Any) -> None:
    """Take one step down a loss."""
    optimizer.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()


def sampled(model: Any, batch: TokenBatch) -> Any:
    """float[T, V]; log-probabilities of what could have been sampled, for each token that was."""
    positions = (batch.attention_mask.cumsum(1) - 1).clamp(min=0)  # prompts are padded on the left
    hidden = model.model(batch.input_ids, attention_mask=batch.attention_mask, position_ids=positions).last_hidden_state
    return model.lm_head(hidden[:, batch.prompt_ids.shape[1] - 1 : -1][batch.loss_mask]).log_softmax(-1)


def gains(logprobs: Any, batch: TokenBatch) -> Any:
    """float[T]; log-probabilities of what was sampled, times what the seat earned over its mean in that deal."""
    mask = batch.loss_mask
    taken = logprobs.gather(-1, batch.completion_ids[mask][:, None])[:, 0]
    return taken * batch.advantages("dr_grpo")[:, None].expand(mask.shape)[mask]


def learn(model: Any, optimizer: Any, batch: TokenBatch, entropy: float, moves: Any) -> None:
    """A step of REINFORCE, paid for being unpredictable too."""
    logprobs = sampled(model, batch)
    among = logprobs[:, moves].log_softmax(-1)  # over all tokens, it would pay for what is no move
    spread = -(among.exp() * among).sum(-1)
    step(model, optimizer, -(gains(logprobs, batch) + entropy * spread).mean())


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


class Curve:
    """How good the play is as it learns; kept on disk as it grows, so that a run that is stopped has one too."""

    def __init__(self, reader: Reader, folder: Path) -> None:
        self._reader, self._folder, self._began = reader, folder, time.process_time()
        self._pool: list[Strategy] = []
        self.rows: list[dict[str, float]] = []

    def look(self, number: int, model: Any, mean: Any) -> None:
        """Measure the weights of this step, their mean, and the pool of the newer half of all that were looked at."""
        self._pool.append(self._reader.play(model))
        players = {
            "newest": self._pool[-1],
            "mean": self._reader.play(mean),
            "pool": mixture(self._pool[len(self._pool) // 2 :]),
        }
        row = {"step": number, "cpu_s": round(time.process_time() - self._began)}
        row |= {name: round(exploitability(player), 4) for name, player in players.items()}
        self.rows.append(row | {"legal": round(self._reader.legality(model), 4)})
        print(self.rows[-1], flush=True)
        (self._folder / "curve.json").write_text(json.dumps(self.rows, indent=1) + "\n")

    def plot(self) -> None:
        """Draw it, where matplotlib is installed."""
        try:
            from matplotlib import pyplot
        except ImportError:
            print("no picture: matplotlib is not installed")
            return
        _, axes = pyplot.subplots(figsize=(6.4, 3.6), layout="constrained")
        for name, style in (("newest", ":"), ("mean", "-"), ("pool", "o-")):
            axes.plot([row["step"] for row in self.rows], [row[name] for row in self.rows], style, label=name)
        axes.axhline(exploitability(uniform), color="grey", linewidth=0.8, label="any legal move")
        axes.set(xlabel="step", ylabel="exploitability, chips a hand", ylim=(0, None))
        axes.legend(loc="lower left")
        pyplot.savefig(self._folder / "curve.png", dpi=120)


async def main(args: argparse.Namespace) -> list[dict[str, float]]:
    """Warm up, train, and write the curve."""
    args.output.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(args.seed)
    tokenizer = tiny_tokenizer([message["content"] for messages in all_decisions().values() for message in messages])
    model, codec = tiny_model(tokenizer), TemplateCodec(tokenizer)
    reader = Reader(tokenizer, codec)
    curve = Curve(reader, args.output)
    warm_up = torch.optim.Adam(model.parameters(), 2e-3)
    for _ in range(args.warm_up):
        reader.warm_up(model, warm_up)
    mean = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(args.mean))
    optimizer = torch.optim.Adam(model.parameters(), args.lr)
    slower = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.2 ** (1 / args.steps))
    curve.look(0, model, mean.module)
    for number in range(1, args.steps + 1):
        entropy = args.entropy * slower.get_last_lr()[0] / args.lr
        learn(model, optimizer, await play(model, tokenizer, codec, args, number), entropy, reader.moves)
        slower.step()
        mean.update_parameters(model)
        if number % args.every == 0:
            curve.look(number, model, mean.module)
    curve.plot()
    return curve.rows


if __name__ == "__main__":
    asyncio.run(main(parse()))
