"""Levels of Sokoban, searched backwards from the solved room: each is known to be solvable, and in how few pushes.

Sets of cells are bits of an integer: cell `row * width + column`. Walls all around keep shifts from running over.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from llmgym.envs.games import DIRECTIONS, Direction

WALL, FLOOR, PLAYER, BOX, GOAL, BOX_ON_GOAL, PLAYER_ON_GOAL = "#", "_", "P", "B", "G", "*", "+"
_XSB = str.maketrans({" ": FLOOR, "-": FLOOR, "@": PLAYER, "$": BOX, ".": GOAL})

#: Boxes, and the cells that the player can walk to.
State = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Level:
    """A level.

    Attributes:
        width: Cells of a row.
        floor: All cells that are no wall.
        goals: Where boxes have to go.
        boxes: Where they are.
        player: Where the player is, one bit.
    """

    width: int
    floor: int
    goals: int
    boxes: int
    player: int

    def rows(self) -> list[str]:
        """The level as text, a character for each cell."""
        height = self.floor.bit_length() // self.width + 2
        cells = [self._cell(1 << i) for i in range(self.width * height)]
        return ["".join(cells[i : i + self.width]) for i in range(0, len(cells), self.width)]

    def _cell(self, bit: int) -> str:
        if not self.floor & bit:
            return WALL
        if self.boxes & bit:
            return BOX_ON_GOAL if self.goals & bit else BOX
        if self.player & bit:
            return PLAYER_ON_GOAL if self.goals & bit else PLAYER
        return GOAL if self.goals & bit else FLOOR

    @property
    def state(self) -> State:
        """The boxes and where the player can go."""
        return self.boxes, reach(self.player, self.floor & ~self.boxes, self.width)

    def offset(self, direction: Direction) -> int:
        """What a step adds to the number of a cell."""
        rows, columns = DIRECTIONS[direction]
        return rows * self.width + columns


def read_level(rows: list[str]) -> Level:
    """Read a level from our characters or from those of XSB files.

    Raises:
        ValueError: It is no level; says why.
    """
    rows = [row.translate(_XSB) for row in rows]
    if not 3 <= len(rows) <= 20 or not all(3 <= len(row) <= 20 for row in rows):
        raise ValueError("a level has 3 to 20 rows of 3 to 20 characters")
    width = max(map(len, rows))
    text = "".join(row.ljust(width, WALL) for row in rows)
    if unknown := set(text) - set("#_PBG*+"):
        raise ValueError(f"{sorted(unknown)[0]!r} is no character of a level; there are # _ P B G * +")

    def where(characters: str) -> int:
        return sum(1 << i for i, cell in enumerate(text) if cell in characters)

    level = Level(width, where("_PBG*+"), where("G*+"), where("B*"), where("P+"))
    if level.player.bit_count() != 1 or level.boxes.bit_count() != level.goals.bit_count() or not level.boxes:
        raise ValueError("a level has one player, at least one box, and as many boxes as goals")
    edge = where("_PBG*+") & sum(
        1 << i for i in range(len(text)) if i % width in (0, width - 1) or i < width or i >= len(text) - width
    )
    if edge:
        raise ValueError("a level has walls all around")
    return level


def reach(start: int, free: int, width: int) -> int:
    """All cells that can be walked to."""
    seen = start
    while True:
        grown = (seen | seen << 1 | seen >> 1 | seen << width | seen >> width) & free
        if grown == seen:
            return seen
        seen = grown


def bits(cells: int) -> Iterator[int]:
    """The single cells of a set."""
    while cells:
        bit = cells & -cells
        yield bit
        cells ^= bit


def shift(cells: int, by: int) -> int:
    """Cells moved on."""
    return cells << by if by > 0 else cells >> -by


class Search:
    """The states of a room by the fewest pushes that solve them, found by pulling boxes off the goals.

    Attributes:
        layers: States by number of pushes; the last one may not be complete where `most` cut the search off.
        pushes: For each state the next push of a shortest solution (direction, and where the box is) and what
            comes of it; None where it is solved.
    """

    def __init__(self, level: Level, most: int, wanted: State | None = None) -> None:
        """Search.

        Args:
            level: The room; its boxes and player do not matter.
            most: Stop after the layer in which so many states are known.
            wanted: Stop once this state is found.
        """
        self.level = level
        self.pushes: dict[State, tuple[Direction, int, State] | None] = {}
        free = level.floor & ~level.goals
        while free:
            region = reach(free & -free, level.floor & ~level.goals, level.width)
            self.pushes[level.goals, region] = None
            free &= ~region
        self.layers = [list(self.pushes)]
        while self.layers[-1] and len(self.pushes) < most and wanted not in self.pushes:
            self.layers.append([state for before in self.layers[-1] for state in self._pulls(before)])

    def _pulls(self, after: State) -> Iterator[State]:
        boxes, region = after
        floor, width = self.level.floor, self.level.width
        for direction in DIRECTIONS:
            step = self.level.offset(direction)
            for box in bits(boxes & shift(region, step) & shift(region, 2 * step)):
                origin = shift(box, -step)
                moved = boxes ^ box ^ origin
                before = (moved, reach(shift(origin, -step), floor & ~moved, width))
                if before not in self.pushes:
                    self.pushes[before] = (direction, origin, after)
                    yield before

    def solution(self, player: int, state: State) -> list[Direction]:
        """The steps of a solution with the fewest pushes."""
        steps: list[Direction] = []
        while (push := self.pushes[state]) is not None:
            direction, box, after = push
            behind = shift(box, -self.level.offset(direction))
            steps += self._walk(player, behind, self.level.floor & ~state[0])
            steps.append(direction)
            player, state = box, after
        return steps

    def _walk(self, start: int, end: int, free: int) -> list[Direction]:
        """A shortest walk."""
        fronts = [end]  # by distance to the end
        seen = end
        while not fronts[-1] & start:
            front = fronts[-1]
            width = self.level.width
            front = (front << 1 | front >> 1 | front << width | front >> width) & free & ~seen
            seen |= front
            fronts.append(front)
        steps: list[Direction] = []
        for front in reversed(fronts[:-1]):
            steps.append(next(name for name in DIRECTIONS if shift(start, self.level.offset(name)) & front))
            start = shift(start, self.level.offset(steps[-1]))
        return steps
