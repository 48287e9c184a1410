"""The games of TextArena 0.7.4: those for one player that can be solved, those for several, and what is left out."""

from __future__ import annotations

from dataclasses import dataclass

from llmgym.catalogue import EnvRow, TaskOrigin, Variant


@dataclass(frozen=True, slots=True)
class Entry:
    """A game of TextArena.

    Attributes:
        id: TextArena's id, without "-raw".
        summary: One line.
        turns: Messages in which it can be played, with room for some that are no move.
    """

    id: str
    summary: str
    turns: int

    @property
    def family(self) -> str:
        """What it is a level of."""
        return self.id.partition("-")[0]


GAMES: dict[str, Entry] = {
    "countdown": Entry("Countdown-v0", "Reach a number by operations on six given ones.", 15),
    "crosswords": Entry("Crosswords-v0", "Fill a small crossword, letter by letter.", 45),
    "crosswordshardcore": Entry("Crosswords-v0-hardcore", "Fill a small crossword of rarer words.", 45),
    "cryptarithm": Entry("Cryptarithm-v0", "Give each letter of a sum its digit.", 30),
    "fifteenpuzzle": Entry("FifteenPuzzle-v0", "Slide fifteen tiles into order.", 230),
    "frozenlake": Entry("FrozenLake-v0", "Cross a frozen lake with three holes.", 40),
    "frozenlakerandom": Entry("FrozenLake-v0-random", "Cross a frozen lake from any corner.", 40),
    "frozenlakehardcore": Entry("FrozenLake-v0-hardcore", "Cross a larger lake with six holes.", 40),
    "guessthenumber": Entry("GuessTheNumber-v0", "Guess a number up to 20 by higher and lower.", 15),
    "guessthenumberhardcore": Entry("GuessTheNumber-v0-hardcore", "Guess a number up to 50 by higher and lower.", 15),
    "hangman": Entry("Hangman-v0", "Guess a word letter by letter.", 26),
    "hangmanhardcore": Entry("Hangman-v0-hardcore", "Guess a rarer word letter by letter.", 26),
    "lightsout": Entry("LightsOut-v0", "Turn all lights of a grid off.", 25),
    "logicpuzzle": Entry("LogicPuzzle-v0", "Fill tables of who has what from clues.", 70),
    "logicpuzzlehard": Entry("LogicPuzzle-v0-hard", "Fill larger tables of who has what from clues.", 70),
    "mastermind": Entry("Mastermind-v0", "Find a code of four digits from what guesses are answered.", 25),
    "mastermindhard": Entry("Mastermind-v0-hard", "Find a code of four of eight digits.", 35),
    "mastermindextreme": Entry("Mastermind-v0-extreme", "Find a code of six of twelve digits, with repeats.", 60),
    "minesweeper": Entry("Minesweeper-v0", "Open all cells of a field but ten mines.", 110),
    "minesweepersmall": Entry("Minesweeper-v0-small", "Open all cells of a small field but five mines.", 60),
    "minesweepermedium": Entry("Minesweeper-v0-medium", "Open all cells of a field but twenty mines.", 120),
    "minesweeperhard": Entry("Minesweeper-v0-hard", "Open all cells of a large field but thirty mines.", 120),
    "pegjump": Entry("PegJump-v0", "Jump pegs on a triangle until one is left.", 20),
    "secretary": Entry("Secretary-v0", "Stop at the highest of five numbers that come one by one.", 8),
    "secretarylong": Entry("Secretary-v0-long", "Stop at the highest of ten numbers that come one by one.", 13),
    "set": Entry("Set-v0", "Find twenty sets of three cards.", 25),
    "sokoban": Entry("Sokoban-v0", "Push three boxes onto goals.", 45),
    "sudokuveryeasy": Entry("Sudoku-v0-very-easy", "Fill the six empty cells of a sudoku.", 15),
    "sudokueasy": Entry("Sudoku-v0-easy", "Fill the eleven empty cells of a sudoku.", 20),
    "sudoku": Entry("Sudoku-v0", "Fill the 21 empty cells of a sudoku.", 30),
    "sudokumedium": Entry("Sudoku-v0-medium", "Fill the 41 empty cells of a sudoku.", 60),
    "threecardmonte": Entry("ThreeCardMonte-v0", "Follow a ball under three cups.", 3),
    "towerofhanoi": Entry("TowerOfHanoi-v0", "Move a tower of three disks.", 20),
    "towerofhanoimedium": Entry("TowerOfHanoi-v0-medium", "Move a tower of four disks.", 40),
    "towerofhanoihard": Entry("TowerOfHanoi-v0-hard", "Move a tower of five disks.", 75),
    "towerofhanoihardcore": Entry("TowerOfHanoi-v0-hardcore", "Move a tower of six disks.", 140),
    "towerofhanoiextreme": Entry("TowerOfHanoi-v0-extreme", "Move a tower of seven disks.", 270),
    "wordladder": Entry("WordLadder-v0", "Change one word into another that is five common words away or more.", 30),
    "wordladdermedium": Entry(
        "WordLadder-v0-medium", "Change one word into another that is eight common words away or more.", 30
    ),
    "wordladderhard": Entry(
        "WordLadder-v0-hard", "Change one word into another that is thirteen common words away or more.", 40
    ),
    "wordle": Entry("Wordle-v0", "Guess a word of five letters from marks.", 12),
    "wordlehardcore": Entry("Wordle-v0-hardcore", "Guess a rarer word of five letters from marks.", 12),
    "wordsearch": Entry("WordSearch-v0", "Find five words in a grid of letters.", 30),
    "wordsearchhardcore": Entry("WordSearch-v0-hardcore", "Find five rarer words in a grid of letters.", 30),
}

#: Families of one game each: there is no other one to test on.
SINGLE = frozenset({"TowerOfHanoi"})

#: Games for one player that are no environments, and why.
REFUSED: dict[str, str] = {
    "2048": "no game is won by all that it pays; llmgym/Tiles2048-v0 is one",
    "BabyAiText": "it needs the package gym",
    "Bandit": "there is no best play of one game",
    "Blackjack": "no play wins for certain; llmgym/Blackjack-v0 is one",
    "GuessWho": "it asks a judge over the network",
    "Klondike": "its module has a syntax error",
    "RushHour": "making a game takes over 40 seconds",
    "Slitherlink": "its reward is text where a move is none, and it has no oracle here",
    "Sokoban-v0-medium": "making a room takes over 40 seconds",
    "Sudoku-v0-hard": "making a board takes over 40 seconds",
    "TwentyQuestions": "it asks a judge over the network",
    "Wordle-v0-long": "the list of words, which is no part of the package, has none so long",
    "Wordle-v0-long-hardcore": "the list of words, which is no part of the package, has none so long",
}

#: Why a finding of the audit is no fault of any game, and of some.
_ALLOWED = {
    "ceiling/bold": "a move is read where its brackets hold nothing else",
    "ceiling/case": "the game reads its moves letter for letter, as it says",
    "ceiling/fence": "the game takes nothing beside a move, as it says",
    "near/lines": "the game reads the first move of a message, which was the right one",
}
_ALSO = "there is more than one way to win"
_ALLOWED_OF: dict[str, dict[str, str]] = {
    "FrozenLake": {"near/other": _ALSO},
    "LogicPuzzle": {"near/other": "there are forty puzzles, and some have the same solution"},
    "Minesweeper": dict.fromkeys(("near/other", "near/one", "near/some", "near/number", "near/last"), _ALSO),
    "ThreeCardMonte": dict.fromkeys(("blind/best", "blind/constants", "near/other"), "one of three cups is right"),
    "TowerOfHanoi": {"tasks/answers": "it is one game, and is registered so"},
}
#: Against the script, which moves by chance; policies that play each other do not lose so.
_ALLOWED_SEVERAL: dict[str, dict[str, str]] = {
    "connectfourlarge": dict.fromkeys(
        ("blind/best", "blind/constants", "blind/echo"), "whoever moves by chance lets one column win"
    ),
    "iteratedtwothirdsaverage": dict.fromkeys(("blind/best", "blind/constants"), "the least guess wins on average"),
}


@dataclass(frozen=True, slots=True)
class Seated(Entry):
    """A game of TextArena for several players.

    Attributes:
        players: How many.
        talk: Whether players hear all that others write, and not their moves alone.
    """

    players: int = 2
    talk: bool = False


SEVERAL: dict[str, Seated] = {
    "alquerque": Seated("Alquerque-v0", "Jump over stones on a board of five by five.", 30),
    "battleship": Seated("Battleship-v0", "Find and sink ships on a hidden board of five by five.", 35),
    "battleshipstandard": Seated("Battleship-v0-standard", "Find and sink ships on a hidden board of ten by ten.", 110),
    "breakthrough": Seated("Breakthrough-v0", "Get a piece to the other side of a board.", 60),
    "breakthroughtiny": Seated("Breakthrough-v0-tiny", "Get a piece to the other side of a board of five by five.", 30),
    "briscola": Seated("Briscola-v0", "Take tricks that are worth points, with a trump.", 25),
    "chopsticks": Seated("Chopsticks-v0", "Knock the other's hands out by adding fingers to them.", 45),
    "colonelblotto": Seated("ColonelBlotto-v0", "Share troops out over fields, both at once.", 15),
    "colonelblottolarge": Seated("ColonelBlotto-v0-large", "Share more troops out over five fields, both at once.", 20),
    "connectfour": Seated("ConnectFour-v0", "Get four discs in a line.", 25),
    "connectfourblind": Seated("ConnectFour-v0-blind", "Get four discs in a line on a board that is not shown.", 25),
    "connectfourlarge": Seated("ConnectFour-v0-large", "Get four discs in a line on a large board.", 95),
    "crusade": Seated("Crusade-v0", "Take pieces by knight's moves.", 25),
    "gameofpurestrategy": Seated("GameOfPureStrategy-v0", "Bid cards for prizes, both at once.", 17),
    "germanwhist": Seated("GermanWhist-v0", "Win cards by tricks, then tricks by cards.", 30),
    "highsociety": Seated("HighSociety-v0", "Bid money for prizes.", 20),
    "indianpoker": Seated("IndianPoker-v0", "Poker with a card that all but its holder see.", 30),
    "iteratedmatchingpennies": Seated("IteratedMatchingPennies-v0", "Match a coin or not, ten times.", 14),
    "iteratedprisonersdilemma": Seated(
        "IteratedPrisonersDilemma-v0", "Talk, then cooperate or defect, ten times.", 24, talk=True
    ),
    "iteratedrockpaperscissors": Seated("IteratedRockPaperScissors-v0", "Rock, paper, scissors, nine times.", 13),
    "iteratedtwothirdsaverage": Seated(
        "IteratedTwoThirdsAverage-v0", "Guess two thirds of the mean guess, ten times.", 14
    ),
    "iteratedultimatumgame": Seated(
        "IteratedUltimatumGame-v0", "Offer a share of money, and take or refuse one.", 14, talk=True
    ),
    "kuhnpoker": Seated("KuhnPoker-v0", "Poker with three cards, three rounds.", 14),
    "kuhnpokermedium": Seated("KuhnPoker-v0-medium", "Poker with three cards, nine rounds.", 34),
    "liarsdice": Seated("LiarsDice-v0", "Bid on all dice and call bluffs.", 80),
    "liarsdicethree": Seated("LiarsDice-v0-small", "Bid on all dice and call bluffs, three players.", 60, players=3),
    "memorygame": Seated("MemoryGame-v0", "Find pairs of cards.", 20),
    "nim": Seated("Nim-v0", "Take the last of three piles.", 12),
    "nimmedium": Seated("Nim-v0-medium", "Take the last of four piles.", 16),
    "othello": Seated("Othello-v0", "Turn the other's discs over.", 40),
    "othellotiny": Seated("Othello-v0-tiny", "Turn the other's discs over on a board of four by four.", 12),
    "pigdice": Seated("PigDice-v0", "Roll for points, and stop in time.", 110),
    "pigdiceshort": Seated("PigDice-v0-short", "Roll for fifty points, and stop in time.", 35),
    "poker": Seated("Poker-v0-small", "Texas hold'em, five hands, three players.", 40, players=3),
    "simplenegotiation": Seated(
        "SimpleNegotiation-v0", "Trade goods that are worth more to one than to the other.", 9, talk=True
    ),
    "simpletak": Seated("SimpleTak-v0", "Join two sides of a board.", 14),
    "snake": Seated("Snake-v0", "Eat apples and bite nobody, all at once, three players.", 45, players=3),
    "surround": Seated("Surround-v0", "Leave a trail and run into none, all at once, three players.", 45, players=3),
    "threeplayergops": Seated("ThreePlayerGOPS-v0", "Bid cards for prizes, three players at once.", 17, players=3),
    "threeplayeripd": Seated(
        "ThreePlayerIPD-v0", "Talk, then cooperate or defect with each of two others.", 14, players=3, talk=True
    ),
    "threeplayertictactoe": Seated("ThreePlayerTicTacToe-v0", "Get four in a line, three players.", 12, players=3),
    "tictactoe": Seated("TicTacToe-v0", "Get three in a line.", 8),
    "truthanddeception": Seated(
        "TruthAndDeception-v0", "Say which of two facts is true, or lead the other astray.", 6, talk=True
    ),
    "ultimatetictactoe": Seated("UltimateTicTacToe-v0", "Get three in a line of boards of three by three.", 45),
    "wildtictactoe": Seated("WildTicTacToe-v0", "Get three in a line with either mark.", 8),
}

#: Games for several players that are left out, and why.
SEVERAL_REFUSED: dict[str, str] = {
    "checkers": "its module has a syntax error before Python 3.12",
    "chess": "its module has a syntax error before Python 3.12",
    "codenames": "it has teams, whose members would share a reward",
    "debate": "it asks a judge over the network; llmgym/Debate-v0 is one",
    "iteratedstaghunt": "its module has a syntax error before Python 3.12",
    "linesofaction": "to find a legal move takes a player by rule a second",
    "reversetictactoe": "its module has a syntax error before Python 3.12",
    "scorablegames": "its files are no part of the package",
    "secretmafia": "it has teams, whose members would share a reward; no rule plays it",
    "settlersofcatan": "it prints its board's insides, and no rule plays it",
    "stratego": "no rule places its pieces",
    "taboo": "it has teams; llmgym/Taboo-v0 is one for two",
    "ultimatetexasholdem": "its module has a syntax error before Python 3.12",
    "usedcarnegotiation": "its files are no part of the package",
}


def rows() -> list[EnvRow]:
    """The environments of games for one player, and for several, each with a variant for each game."""
    variants = {
        name: Variant(
            summary=entry.summary, max_turns=entry.turns, kwargs={"game": name}, allow=_ALLOWED_OF.get(entry.family, {})
        )
        for name, entry in GAMES.items()
    }
    row = EnvRow(
        id="llmgym/TextArena-v0",
        entry_point="llmgym.adapters.textarena.env:TextArena",
        summary="Games of TextArena for one player, mixed.",
        domains=["game", "multi-turn"],
        tasks=TaskOrigin(licence="MIT", origin="generated by textarena 0.7.4"),
        max_turns=max(entry.turns for entry in GAMES.values()),
        needs=["textarena"],
        allow=_ALLOWED | _ALLOWED_OF["Minesweeper"],
        variants=variants,
    )
    return [row, _several()]


def _several() -> EnvRow:
    return EnvRow(
        id="llmgym/TextArenaMulti-v0",
        entry_point="llmgym.adapters.textarena.several:TextArenaMulti",
        summary="Games of TextArena for several players; Connect Four.",
        domains=["game", "multi-agent", "multi-turn"],
        tasks=TaskOrigin(licence="MIT", origin="generated by textarena 0.7.4"),
        max_turns=SEVERAL["connectfour"].turns,
        needs=["textarena"],
        variants={
            name: Variant(
                summary=entry.summary,
                max_turns=entry.turns,
                kwargs={"game": name},
                allow=_ALLOWED_SEVERAL.get(name, {}),
            )
            for name, entry in SEVERAL.items()
        },
    )
