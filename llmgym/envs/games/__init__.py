"""What games share: moves by a tool or in a tag, a bounded number of them, and one reward for a win."""

from llmgym.envs.games.drawing import draw, phrase
from llmgym.envs.games.game import Game
from llmgym.envs.games.paths import DIRECTIONS, Direction, in_letters, read_directions, strides

__all__ = ["DIRECTIONS", "Direction", "Game", "draw", "in_letters", "phrase", "read_directions", "strides"]
