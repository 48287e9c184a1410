"""The datasets of reasoning-gym 0.1.25, with what each asks for, and those that are left out."""

from __future__ import annotations

from llmgym.catalogue import EnvRow, TaskOrigin, Variant

DATASETS: dict[str, str] = {
    "ab": "Rewrite a row of symbols by four rules until none applies.",
    "acre": "Tell from trials of objects whether a light turns on.",
    "advanced_geometry": "Find an angle, an orthocentre or an incircle from coordinates.",
    "aiw": "Count siblings, friends or colleagues in a short story.",
    "arc_1d": "Find the rule of examples in one row, and apply it.",
    "arc_agi": "Find the rule of examples in grids, and apply it.",
    "base_conversion": "Write a number in another base.",
    "basic_arithmetic": "Compute a short expression.",
    "bf": "Say what a program in a very small language prints.",
    "binary_alternation": "Count swaps that make a row of bits alternate.",
    "binary_matrix": "Give the distance of each cell of a grid to the next 0.",
    "bitwise_arithmetic": "Compute an expression of hexadecimal numbers and shifts.",
    "boxnet": "Plan how agents in a grid bring boxes to their targets.",
    "caesar_cipher": "Decipher a text that was shifted through the alphabet.",
    "calendar_arithmetic": "Answer a question about weekdays, dates and workdays.",
    "chain_sum": "Add and subtract a chain of numbers.",
    "circuit_logic": "Evaluate a drawn circuit of logic gates.",
    "coin_flip": "Find the probability of a number of heads.",
    "color_cube_rotation": "Follow the colours of a cube that is turned.",
    "complex_arithmetic": "Add, subtract, multiply or divide complex numbers.",
    "count_bits": "Count the ones of a number in binary.",
    "count_primes": "Count the primes in an interval.",
    "countdown": "Reach a number by a calculation with given ones.",
    "course_schedule": "Tell whether courses can be taken in some order.",
    "cryptarithm": "Find the digits behind the letters of a sum.",
    "decimal_arithmetic": "Compute an expression of decimals.",
    "decimal_chain_sum": "Add and subtract a chain of decimals.",
    "dice": "Find the probability of rolling at least a total.",
    "emoji_mystery": "Read a sentence that is hidden in an emoji.",
    "family_relationships": "Tell how two people of a family are related.",
    "figlet_font": "Read a word that is drawn with characters.",
    "fraction_simplification": "Simplify a fraction.",
    "futoshiki": "Fill a square so that rows, columns and inequalities hold.",
    "game_of_life": "Give the board after some steps of the Game of Life.",
    "game_of_life_halting": "Tell whether a board of the Game of Life dies out.",
    "gcd": "Find the greatest common divisor.",
    "graph_color": "Colour a graph so that no neighbours are the same.",
    "group_anagrams": "Group words that are anagrams.",
    "gsm_symbolic": "Solve a word problem of grade school.",
    "intermediate_integration": "Find an antiderivative by substitution or by parts.",
    "isomorphic_strings": "Tell whether two strings are the same but for their letters.",
    "jugs": "Measure an amount of water with jugs.",
    "kakurasu": "Fill a grid so that the weights of rows and columns add up.",
    "knight_swap": "Swap the knights of two colours on a board, or say that it cannot be done.",
    "knights_knaves": "Find out who tells the truth and who lies.",
    "largest_island": "Find the area of the largest island of a grid.",
    "lcm": "Find the least common multiple.",
    "leg_counting": "Count the legs of some animals.",
    "letter_counting": "Count a letter in a text.",
    "letter_jumble": "Put the letters of words in order.",
    "list_functions": "Find the rule of examples of lists, and apply it.",
    "mahjong_puzzle": "Follow the draws of a game with letters for tiles.",
    "manipulate_matrix": "Apply operations to a matrix.",
    "maze": "Find the number of steps through a maze.",
    "mini_sudoku": "Solve a sudoku of 4 by 4.",
    "modulo_grid": "Complete a grid whose marks follow a rule of remainders.",
    "n_queens": "Place queens that do not attack one another.",
    "needle_haystack": "Find a sentence among many, and who it is about.",
    "number_filtering": "Keep or remove numbers by a bound.",
    "number_format": "Pick the largest or smallest of numbers that are written in different ways.",
    "number_sequence": "Continue a sequence of numbers.",
    "number_sorting": "Sort numbers.",
    "palindrome_generation": "Make a palindrome of given letters.",
    "palindrome_partitioning": "Give all ways to cut a string into palindromes.",
    "path_star": "Find the arm of a star that leads to a node.",
    "polynomial_equations": "Solve a polynomial equation.",
    "polynomial_multiplication": "Multiply polynomials out.",
    "pool_matrix": "Pool a matrix by maxima or averages.",
    "power_function": "Compute a power to three significant figures.",
    "prime_factorization": "Factor a number.",
    "products": "Multiply numbers.",
    "puzzle24": "Make 24 of four numbers.",
    "quantum_lock": "Find the buttons that bring a machine to a value.",
    "ransom_note": "Tell whether a note can be cut out of a text.",
    "rearc": "Find the rule of generated examples in grids, and apply it.",
    "rectangle_count": "Count rectangles that are drawn with characters.",
    "rotate_matrix": "Turn a matrix by right angles.",
    "rotten_oranges": "Count the minutes until all oranges of a grid are rotten.",
    "rubiks_cube": "Solve a Rubik's cube.",
    "rush_hour": "Drive the red car out of a jam.",
    "self_reference": "Count how many of some statements about themselves can be true.",
    "sentence_reordering": "Put the words of a sentence in order.",
    "shortest_path": "Find a shortest way through a grid.",
    "simple_equations": "Solve an equation of one variable.",
    "simple_geometry": "Find the missing angle of a polygon.",
    "simple_integration": "Find an antiderivative of a polynomial.",
    "sokoban": "Push boxes onto goals, in one row of moves.",
    "spell_backward": "Spell a word backward.",
    "spiral_matrix": "List a matrix in a spiral.",
    "string_insertion": "Insert letters into a string by rules.",
    "string_manipulation": "Rewrite a string by rules until none applies.",
    "string_splitting": "Count machines and parts after rules were applied.",
    "string_synthesis": "Count blocks after rules were applied.",
    "sudoku": "Solve a sudoku.",
    "survo": "Fill a grid so that rows and columns have their sums.",
    "syllogism": "Tell whether a conclusion follows from two premises.",
    "time_intervals": "Find the time between two times or dates.",
    "tower_of_hanoi": "Move a tower from peg to peg.",
    "tsumego": "Find the move that captures stones in Go.",
    "word_ladder": "Change one word into another, letter by letter.",
    "word_sequence_reversal": "Give words in the opposite order.",
    "word_sorting": "Sort words.",
    "zebra_puzzles": "Find out who lives where and has what.",
}

#: Datasets that are no environments, and why.
REFUSED: dict[str, str] = {
    "codeio": (
        "making an entry runs code of its data in the process, which prints, writes files and imports packages that "
        "nobody named: entries differ from machine to machine"
    ),
    "composite": "it is a mixture of others; name these as a list",
    "propositional_logic": (
        "any premise repeated is paid in full as a conclusion, and some of its problems have no answer that is"
    ),
}

#: Those whose questions take a tenth of a second and more to make; they have no part in the mixture.
SLOW = frozenset({"futoshiki", "knight_swap", "zebra_puzzles"})

_FEW = "a few answers are right for most questions"
#: Datasets whose answers are few, such as yes and no, so that one guess is often right.
_GUESSED = frozenset(
    {
        "acre", "aiw", "circuit_logic", "course_schedule", "game_of_life_halting", "gcd", "isomorphic_strings",
        "largest_island", "letter_counting", "mahjong_puzzle", "maze", "polynomial_equations", "ransom_note",
        "rotten_oranges", "syllogism", "zebra_puzzles",
    }
)  # fmt: skip
#: Why a finding of the audit is no fault of any dataset, and of some.
_ALLOWED = {"ceiling/case": "the package compares letter for letter, and says so in most questions"}
_ALLOWED_OF: dict[str, dict[str, str]] = {
    "graph_color": {
        "near/number": "another colour may be right too",
        "near/other": "a colouring of another graph may be right too",
    },
    "sokoban": dict.fromkeys(("near/other", "near/lines"), "other pushes may be right too"),
    **{name: dict.fromkeys(("blind/best", "blind/constants", "near/other"), _FEW) for name in _GUESSED},
}


def rows() -> list[EnvRow]:
    """The environment of all datasets, with one variant for each."""
    variants = {
        name.replace("_", ""): Variant(summary=summary, kwargs={"dataset": name}, allow=_ALLOWED_OF.get(name, {}))
        for name, summary in DATASETS.items()
    }
    row = EnvRow(
        id="llmgym/ReasoningGym-v0",
        entry_point="llmgym.adapters.reasoning_gym.env:ReasoningGym",
        summary="Questions of a hundred generators of reasoning-gym, mixed.",
        domains=["reasoning"],
        tasks=TaskOrigin(licence="Apache-2.0", origin="generated by reasoning-gym 0.1.25"),
        max_turns=1,
        needs=["reasoning-gym"],
        allow=_ALLOWED,
        variants=variants,
    )
    return [row]
