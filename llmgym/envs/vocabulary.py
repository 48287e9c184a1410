"""Words that generated tasks are told with: people, places, firms and things, all invented or everyday words.

Their order and number are part of what a seed picks: a change raises the version of every environment that draws them.
"""

from __future__ import annotations

from collections.abc import Sequence


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


GIVEN_NAMES: tuple[str, ...] = _words(
    """
    Ada Adil Agnes Aiko Ailsa Alba Alden Alice Alina Amara Amir Anders Anika Anton Anya Arlo Asha Astrid Aurel
    Ayla Beatriz Benedikt Bettina Bianca Bjorn Boris Brigid Bruno Camille Carla Carmen Caspar Cecilia Cedric
    Chiara Clara Clemens Colin Conrad Cora Cyrus Dagmar Dalia Damian Daria Davina Delia Dennis Diego Dilan Dimitri
    Dora Doris Edda Edgar Edith Efua Eileen Elena Elias Elif Elsa Emeka Emil Enid Enzo Erik Esme Esther Ethan Eva
    Fabian Fadi Farah Fatima Felix Fergus Filip Fiona Flora Frances Freya Gareth Gemma Gideon Gita Greta Gustav
    Hana Hanif Harriet Hassan Hazel Hector Heidi Helena Henrik Hugo Ibrahim Ida Ilona Imani Imogen Ines Ingrid
    Irina Isaac Ismael Ivan Jana Jasper Jelena Joanna Jonas Josefa Judith Julian Kamal Karin Kasper Keiko Kenji
    Kira Klara Kofi Lara Laszlo Leila Lena Leo Liam Lidia Linus Livia Lorenz Lucia Ludwig Magda Malik Mara Marcel
    Mariam Marta Mateo Maya Milan Mina Miriam Mona Nadia Naomi Nikolai Nils Nina Noor Nora Odette Olga Oliver Omar
    Orla Oscar Otto Paula Pavel Petra Philippa Pia Priya Quentin Rafael Ramona Rania Ravi Renata Rita Robin Rohan
    Rosa Rufus Ruth Sabine Salma Samira Sasha Selma Silas Simone Sofia Stefan Sunita Sven Tamara Tariq Tessa Theo
    Tilda Tobias Una Ursula Vera Viktor Vivian Walter Wanda Yara Yusuf Zara Zoe
    """
)
"""Given names."""

FAMILY_NAMES: tuple[str, ...] = _words(
    """
    Abara Acosta Adeyemi Ahlgren Albrecht Almeida Amadi Andersen Araujo Arslan Asante Bakker Banerjee Barlow Bauer
    Becker Bellini Berger Bianchi Blanchard Boateng Bondar Brandt Brennan Brodeur Calloway Cardoso Carver
    Castellan Cervantes Chandra Chevalier Cisneros Cordeiro Cosgrove Dahl Danso Delgado Demir Diallo Dlamini
    Donnelly Dubois Eberhart Eklund Elmasri Endo Engel Escobar Falk Farouk Ferrara Fischer Fontaine Forsberg
    Fournier Gallagher Ganguly Garrido Gerber Ghosh Goldmann Grahn Greenwood Gruber Guerrero Haddad Halloran
    Hansen Hartmann Hayashi Hedlund Herrera Hoang Holm Horvat Hughes Ibarra Ibrahimov Inoue Iversen Jankowski
    Jansen Jimenez Johansson Kaminski Kapoor Karlsson Kaya Keller Kessler Khalil Kimura Kowalski Kramer Kruger
    Laine Lambert Larsen Laurent Leclerc Lehmann Lindgren Lombardi Lundqvist Mahmoud Malmberg Marchetti Mbeki
    Mendoza Mercier Meyer Mikkelsen Moreau Moretti Mukherjee Mwangi Nakamura Navarro Nkosi Novak Nunez Oberg Ochoa
    Okafor Olsen Ortega Osei Ostrow Pacheco Palmer Pereira Petrov Pham Pohl Popescu Quintero Rahman Ramsey Rao
    Rasmussen Reyes Ricci Rojas Romano Rossi Sahin Salazar Sandoval Santoro Sato Schaefer Schneider Serrano Sharma
    Silva Sokolov Solberg Sorensen Steiner Strand Suarez Suzuki Svensson Takeda Tanaka Thiel Torres Ueda Ulrich
    Valdez Vargas Vasquez Verma Vidal Villanueva Visser Vogel Wagner Walsh Weber Winkler Yamada Yildiz Zeller
    Zielinski
    """
)
"""Family names."""

PLACES: tuple[str, ...] = _words(
    """
    Ashford Balmore Barnwick Bellhaven Birchfield Blackmere Branmouth Brookvale Calderby Carrick Castlebridge
    Cedarton Claremont Coldwater Corvale Cranleigh Dalewick Darrowby Deepford Dunmarsh Eastmere Elmstead Fairhaven
    Farnley Fenwick Foxhollow Glenrock Goldcrest Grantham Greyport Hallowbrook Harrowgate Hawkridge Hazelton
    Highmoor Hollybank Ironbridge Juniper Kelderby Kingsmere Kirkwall Lakemont Larkhill Linden Longmarsh Maplewood
    Marlow Midvale Millbrook Northgate Norwick Oakhurst Oldbury Orchard Pinecrest Portmere Quarry Ravensworth
    Redcliff Ridgeway Rivermouth Rosedale Saltmarsh Sandhaven Seabrook Shelby Silverlake Southwick Stonebridge
    Summerfield Swanmore Tarrant Thornbury Tideford Underwood Valemont Waterford Westmarch Whitby Willowdale
    Windmere Woodford Wyndham Yarrow
    """
)
"""Towns, invented."""

FIRM_NAMES: tuple[str, ...] = _words(
    """
    Alder Amber Anchor Apex Arbor Atlas Aurora Beacon Birch Blue Bright Cascade Cedar Cinder Cobalt Compass Copper
    Coral Crescent Delta Drift Eagle Ember Fable Falcon Fern Flint Forge Garnet Glacier Granite Harbor Hazel Helix
    Horizon Indigo Iron Ivory Jade Juniper Kestrel Lantern Larch Lumen Lunar Maple Meridian Mosaic Nimbus North
    Nova Oak Onyx Orbit Osprey Otter Pebble Pine Pioneer Polar Prairie Quartz Quill Raven Reef Ridge River Saffron
    Sage Sierra Silver Slate Solar Sparrow Spruce Summit Tamarack Tern Thistle Timber Topaz Umber Velvet Vertex
    Violet Walnut Willow Zenith Zephyr
    """
)
"""First words of firms' names."""

FIRM_KINDS: tuple[str, ...] = _words(
    """
    Analytics Bakery Biotech Books Brewing Capital Ceramics Chemicals Clinics Coffee Construction Consulting
    Design Electric Energy Engineering Farms Films Foods Freight Furniture Games Glass Hardware Insurance Kitchens
    Labs Legal Logistics Marine Media Metals Mills Mobility Motors Networks Optics Outfitters Paper Pharma
    Plastics Press Publishing Robotics Security Shipping Software Solar Steel Studios Systems Textiles Tools Toys
    Travel Water Works
    """
)
"""What firms do, the second words of their names."""

THINGS: tuple[str, ...] = _words(
    """
    anvil apron atlas backpack basket bell blanket bottle bowl box broom brush bucket cable camera candle chair
    clock coat comb compass cup desk drum fan flask flute fork frame globe glove guitar hammer hat helmet jar jug
    kettle key kite knife ladder lamp lantern lock magnet map mask mirror mug needle notebook paddle pan pen
    pencil pillow pin plate pot quilt racket radio ring rope ruler saddle scarf scissors shelf shovel spoon stamp
    stool string tape teapot telescope tent thermos torch towel tray trumpet umbrella vase violin wallet watch
    whistle wrench
    """
)
"""Things that fit into a house, as singular nouns."""

JOBS: tuple[str, ...] = _words(
    """
    accountant actor archaeologist architect astronomer baker barber biologist bookbinder botanist carpenter cellist
    chemist clockmaker composer dentist diver editor engraver farmer firefighter florist gardener geologist glazier
    historian illustrator journalist judge librarian mason midwife miner painter pharmacist photographer pilot plumber
    potter sailor sculptor surgeon surveyor tailor translator typesetter violinist weaver welder
    """
)
"""What people do for a living, as singular nouns."""

RIVERS: tuple[str, ...] = _words(
    """
    Adder Alne Arrow Barle Blythe Brathay Cale Cherwin Cocker Dart Derwen Dove Eamont Ebbing Erme Esk Fowey Fyle Glyme
    Hamble Irthing Isker Kennow Lambourn Leven Lowman Lugg Mease Nadder Ottery Parret Piddle Rother Severell Swale
    Tamarin Teign Thrushel Torridge Wharfe Windrush Wylye Yealm
    """
)
"""Rivers, most of them invented."""

GATHERINGS: tuple[str, ...] = _words("Congress Cup Exhibition Fair Festival Marathon Prize Rally Regatta Tournament")
"""What is held every year and can be won."""


_PLURALS = {"knife": "knives", "shelf": "shelves", "scissors": "pairs of scissors"}


def plural(noun: str) -> str:
    """Several of a thing of `THINGS`."""
    return _PLURALS.get(noun) or noun + ("es" if noun.endswith(("s", "x", "ch", "sh")) else "s")


def with_article(noun: str) -> str:
    """A thing of `THINGS` with "a" or "an" before it."""
    if noun == "scissors":
        return "a pair of scissors"
    return f"{'an' if noun[0] in 'aeio' or noun.startswith('um') else 'a'} {noun}"


def listed(words: Sequence[str]) -> str:
    """Words in a row: "a", "a and b", "a, b and c"."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
