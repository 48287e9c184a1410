"""Words by what they do in a sentence that chooses an option; none of them depends on which letter is chosen."""

from __future__ import annotations

import re


def bag(text: str) -> frozenset[str]:
    """The words of a text."""
    return frozenset(text.split())


# What may follow a letter but neither the article "A" nor the pronoun "I", as in "A because", "I is right".
AFTER_LETTER = bag(
    "is isn't wasn't are aren't has hasn't does doesn't seems looks appears sounds fits makes matches remains gives "
    "says describes contains holds wins follows satisfies shows represents refers stands states because since as for "
    "so and or nor but not over than while whereas although though if unless until by from with without in on "
    "at of to "
    "into per via it that this these those which who whose where when the thanks based according considering seeing "
    "judging it's that's he she they we i there my your our their its among between after before against despite "
    "except including beats gets"
)
AFTER_LETTERS = bag(  # the same, after several
    "both all each equally fit match apply work make seem look sound satisfy say describe were have do remain"
)
AFTER_LETTER_WITH = {  # the same, where another word comes next
    "rather": bag("than"),
    "instead": bag("of"),
    "given": bag("that the this these its what how"),
    "due": bag("to"),
    "then": bag("because since as"),
    "works": bag("because since as best better here for well , ."),
}
JUDGED = re.compile(  # what neither article nor pronoun is followed by, though either may be by the first word
    r"(?:(?:must|should|would|will|could|might|may|can|can't|cannot|couldn't|has to"
    r"|ought to)(?: not)? (?:only )?be|was|were"
    r"|wasn't)(?: \w+ly)?(?: the| a| my| our)?(?: only| final| most)? "
    r"(?:right|correct|true|best|answer|wrong|incorrect|false|solution|it|one|option|choice|ruled|eliminated|excluded"
    r"|impossible|accurate|likely|[.,;!\n])"
)
# What may follow it as well once a sentence has announced it, as in "the answer is A clearly".
AFTER_ANNOUNCED = AFTER_LETTER | bag(
    "rather instead given due works was can can't cannot must should would could will may might only also then "
    "now again indeed alone therefore thus "
    "hence best here too instead either however obviously clearly certainly definitely surely please correct right"
)
MODALS = bag("can can't cannot must should would could will may might")
AT_END = bag(  # what may follow a letter where nothing else does
    "then now again indeed alone therefore thus hence best here too instead either however please correct right "
    "obviously"
)
ANNOUNCE = bag(  # nouns that a choice is said of: "the answer is", "my pick:"
    "answer answers choice option selection solution pick response conclusion letter result guess vote bet"
)
DECIDE = bag(  # verbs of one who chooses
    "chosen meant mean lean leaning get choose chose choosing pick picking picked select selecting selected opt "
    "opting go going went settle settling "
    "vote conclude prefer mark marking answer say guess take"
)
SUPPOSE = bag("think believe suspect feel reckon find suppose bet")  # the same, weaker
SPEAKER = bag("i we i'd i'll i'm i've we'd we'll i'd i will let's let me us my our")
OTHERS = bag("some many others people someone students they he she most somebody anyone everybody friends critics")
THEREFORE = bag("so thus therefore hence ergo accordingly consequently")
FILL = bag(  # may stand between what announces a choice and the choice
    "towards toward the a an option choice letter answer correct right best final is be are it it's its that "
    "this that's one with "
    "for on to as by being most likely only just always still clearly therefore thus hence so then really very "
    "indeed simply number labeled labelled called namely actually either both all would must should will has have "
    "single true proper i'd i'll we'd am i'm going i we do did also again now here more less quite my our  "
    "appropriate accurate suitable plausible was seems appears probably surely in fact"
)
BE = bag("is are be was it's that's remains i's")
HEDGE = bag("could might may maybe perhaps possibly can")
NEGATE = bag(
    "not never neither nor cannot can't isn't aren't wasn't don't doesn't won't wouldn't shouldn't couldn't didn't "
    "mustn't unlike except excluding exclude excludes excluded eliminate eliminates eliminated eliminating reject "
    "rejecting rejected rejects discard discarding discarded dismiss dismissing dismissed than over against without "
    "wrong incorrect false doubt versus vs ain't instead none no refuse refuses disagree unlikely "
    "different opposed beats"
)
NEGATE_ON = (
    FILL
    | ANNOUNCE
    | DECIDE
    | SUPPOSE
    | bag("saying means of out any ones options choices answers other like love want trust agree see from")
)
RULE = bag("rule rules ruled ruling cross crossing crossed")  # with "out"
STRONG_NEGATE_BREAK = bag("only just merely sure but doubt")  # "not only A", "nothing but A"
ASIDE = bag(  # begin a clause that says something of options without choosing one
    "if suppose supposing assuming assume unless whether although though while despite whereas even because since "
    "considering were initially first thought compared"
)
JOIN = bag("or and nor & /")
JOINS_FILL = bag("option choice answer letter even maybe possibly perhaps also either the both ( : - – — = , .")
SINGULAR = bag("is isn't was wasn't seems looks has fits does doesn't")
EXCEPTED = bag("anything everything all any")  # with "but"
GONE = bag("ruled eliminated excluded rejected discarded dismissed out")  # "with A and B ruled out"
GRAMMAR = (
    AFTER_ANNOUNCED | ANNOUNCE | DECIDE | SUPPOSE | SPEAKER | OTHERS | THEREFORE | FILL | BE | HEDGE | NEGATE
    | ASIDE | JOIN | bag("yes no true false wrong right none all both neither nothing wait sorry")
)  # fmt: skip
# What a letter may follow and still be an option rather than, say, a vitamin.
BEFORE_LETTER = GRAMMAR | bag(
    "leaves leaving left points pointing matches matching suggests gives means indicates supports favours favors "
    "namely i.e. e.g. like out statement fact ruled rule rules ruling yes no ok okay well correct: answer: was"
)
