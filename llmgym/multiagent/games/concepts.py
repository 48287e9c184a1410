"""Words of Taboo, each with seven that come to mind with it."""

from __future__ import annotations

_TABLE = """
apple: fruit red tree pie cider orchard core
banana: fruit yellow peel monkey tropical bunch curved
bread: bake loaf flour toast crust slice butter
cheese: milk mouse yellow holes cheddar dairy sandwich
coffee: drink morning beans caffeine cup espresso roast
honey: bee sweet sticky golden hive jar comb
pizza: italian cheese round slice oven dough topping
soup: bowl spoon hot broth liquid vegetable starter
cat: pet whiskers purr kitten mouse meow claws
dog: pet bark tail puppy leash bone loyal
horse: ride saddle gallop stable mane hooves pony
elephant: trunk grey huge tusks africa ivory memory
penguin: bird ice antarctica waddle tuxedo fish swim
spider: web eight legs silk insects fangs crawl
whale: ocean huge mammal blue spout harpoon song
frog: green pond jump croak tadpole lily slimy
owl: bird night wise hoot feathers eyes barn
snake: slither venom scales fangs hiss reptile poison
piano: keys music black white pedals concert grand
guitar: strings music rock strum acoustic band chords
drum: beat sticks loud rhythm band percussion snare
violin: bow strings orchestra classical music fiddle chin
train: rails station tracks locomotive carriage ticket platform
bicycle: wheels pedals chain ride helmet handlebar spokes
airplane: fly wings pilot sky airport jet runway
boat: water sail oars float captain lake anchor
car: drive wheels road engine garage traffic steering
rocket: space launch moon astronaut fuel orbit countdown
doctor: hospital medicine sick patient stethoscope white nurse
teacher: school students classroom lesson blackboard homework learn
farmer: fields tractor crops cows barn harvest rural
baker: bread oven cake dough flour morning shop
king: crown throne queen royal castle ruler chess
pirate: ship treasure eyepatch parrot hook plunder flag
summer: hot beach sun vacation season july swim
winter: snow cold season january ice coat ski
rain: wet umbrella clouds drops weather puddle storm
volcano: lava eruption mountain ash hot crater magma
desert: sand dry camel cactus hot dunes oasis
island: water palm surrounded beach tropical stranded ocean
mountain: climb peak high summit snow hill everest
moon: night sky full crater tides lunar orbit
book: read pages library author story cover novel
clock: time hands tick alarm hour wall minutes
candle: wax flame wick birthday light melt romantic
mirror: reflection glass look bathroom image vain wall
umbrella: rain wet open handle shelter fold beach
key: lock door open metal ring chain unlock
"""

CONCEPTS: dict[str, tuple[str, ...]] = {
    name: tuple(related.split()) for name, _, related in (line.partition(":") for line in _TABLE.strip().splitlines())
}
