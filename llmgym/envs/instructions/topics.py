"""What tasks ask to write about, and the words that belong to it."""

from __future__ import annotations

TOPICS: dict[str, tuple[str, ...]] = {
    topic: tuple(words.split())
    for topic, words in {
        "growing tomatoes at home": "soil compost trellis watering seedling sunlight harvest fertilizer",
        "learning to play chess": "opening endgame bishop knight tactics patience checkmate tournament",
        "the night sky": "telescope constellation comet planet moonlight galaxy meteor darkness",
        "baking bread": "flour yeast oven crust dough kneading sourdough butter",
        "city buses": "timetable driver passenger ticket traffic route depot diesel",
        "keeping bees": "honey hive queen nectar pollen wax swarm clover",
        "a long train journey": "platform luggage window conductor station tunnel scenery carriage",
        "winter sports": "snow skiing slope sledge glacier gloves skating avalanche",
        "public libraries": "shelves librarian novel borrowing catalogue silence archive bookshop",
        "old lighthouses": "lantern coast keeper storm harbour staircase foghorn cliff",
        "saving electricity": "insulation appliance heating battery meter solar thermostat kettle",
        "raising a puppy": "leash training kennel biscuit vaccine obedience whistle collar",
        "street markets": "vendor bargain vegetables spices crowd cheese awning haggling",
        "desert animals": "camel lizard cactus oasis scorpion burrow drought dune",
        "restoring old furniture": "varnish sandpaper hinge upholstery walnut drawer polish carpenter",
        "singing in a choir": "melody soprano rehearsal harmony conductor concert rhythm hymn",
        "mountain hiking": "boots summit compass trail altitude backpack ridge blisters",
        "making coffee": "espresso roast grinder filter caffeine aroma barista mug",
        "the history of paper": "parchment printing papyrus scroll pulp ink manuscript monastery",
        "coral reefs": "diver lagoon sponge bleaching anemone shark tide snorkel",
        "writing letters by hand": "envelope stamp handwriting fountain postman signature stationery blotter",
        "robots in factories": "sensor assembly engineer conveyor welding software motor warehouse",
        "small town festivals": "parade fireworks banner stage dancing lanterns carousel mayor",
        "sleeping well": "pillow mattress routine darkness alarm insomnia bedroom nap",
        "ancient castles": "drawbridge dungeon tower moat knight banquet fortress throne",
        "sailing": "anchor rudder wind mast harbour regatta compass crew",
        "repairing a bicycle": "chain pedal wrench tyre brakes puncture saddle pump",
        "making pottery": "clay kiln glaze wheel vase ceramic apron sculpture",
        "school gardens": "children teacher carrots compost insects greenhouse beans shovel",
        "weather forecasts": "barometer satellite thunder humidity breeze drizzle temperature meteorologist",
    }.items()
}
"""Topics, each with eight words that people use when they write about it and that the topic itself does not have."""

PIECES = (
    "a short text", "a blog post", "a newspaper column", "a speech", "a letter to a friend", "an article",
    "a diary entry", "an introduction for beginners", "a note for a school magazine", "a review",
)  # fmt: skip

ASKS = (
    "Write {piece} about {topic}, in {low} to {high} words.",
    "Please write {piece} about {topic}, with at least {low} words and at most {high}.",
    "I need {piece} on the subject of {topic}, no shorter than {low} words and no longer than {high}.",
    "Compose {piece} about {topic}, from {low} to {high} words long.",
    "Could you draft {piece} about {topic}, between {low} and {high} words in length?",
)

QUESTIONS = (
    "Do you think that {topic} will matter more in ten years, and why? Give your reasons in {low} to {high} words.",
    "Would {topic} make a good subject for a first school project, and why? Explain in {low} to {high} words.",
    "Would most people enjoy an evening course on {topic}, and why? Argue in {low} to {high} words.",
    "Should a local newspaper have a weekly page on {topic}, and why? Discuss it in {low} to {high} words.",
)
