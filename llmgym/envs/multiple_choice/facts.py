"""Small tables of facts that questions are made of."""

from __future__ import annotations


def _pairs(text: str) -> dict[str, str]:
    return {left.strip(): right.strip() for left, _, right in (entry.partition(":") for entry in text.split(";"))}


# Countries whose capital is not in question.
CAPITALS = _pairs(
    "Afghanistan:Kabul; Albania:Tirana; Algeria:Algiers; Angola:Luanda; Argentina:Buenos Aires; Armenia:Yerevan; "
    "Australia:Canberra; Austria:Vienna; Azerbaijan:Baku; Bahrain:Manama; Bangladesh:Dhaka; Belarus:Minsk; "
    "Belgium:Brussels; Bhutan:Thimphu; Botswana:Gaborone; Brazil:Brasília; Bulgaria:Sofia; Burkina Faso:Ouagadougou; "
    "Cambodia:Phnom Penh; Cameroon:Yaoundé; Canada:Ottawa; Chad:N'Djamena; Colombia:Bogotá; Costa Rica:San José; "
    "Croatia:Zagreb; Cuba:Havana; Denmark:Copenhagen; Ecuador:Quito; Egypt:Cairo; Eritrea:Asmara; Estonia:Tallinn; "
    "Ethiopia:Addis Ababa; Fiji:Suva; Finland:Helsinki; France:Paris; Georgia:Tbilisi; Germany:Berlin; Ghana:Accra; "
    "Greece:Athens; Guyana:Georgetown; Haiti:Port-au-Prince; Honduras:Tegucigalpa; Hungary:Budapest; "
    "Iceland:Reykjavik; India:New Delhi; Iran:Tehran; Iraq:Baghdad; Ireland:Dublin; Italy:Rome; Jamaica:Kingston; "
    "Japan:Tokyo; Jordan:Amman; Kenya:Nairobi; Kyrgyzstan:Bishkek; Laos:Vientiane; Latvia:Riga; Lebanon:Beirut; "
    "Liberia:Monrovia; Libya:Tripoli; Lithuania:Vilnius; Madagascar:Antananarivo; Malawi:Lilongwe; Mali:Bamako; "
    "Malta:Valletta; Mauritania:Nouakchott; Moldova:Chișinău; Mongolia:Ulaanbaatar; Morocco:Rabat; Mozambique:Maputo; "
    "Namibia:Windhoek; Nepal:Kathmandu; New Zealand:Wellington; Nicaragua:Managua; Niger:Niamey; Nigeria:Abuja; "
    "Norway:Oslo; Oman:Muscat; Pakistan:Islamabad; Paraguay:Asunción; Peru:Lima; Poland:Warsaw; Portugal:Lisbon; "
    "Qatar:Doha; Romania:Bucharest; Rwanda:Kigali; Senegal:Dakar; Serbia:Belgrade; Sierra Leone:Freetown; "
    "Slovakia:Bratislava; Slovenia:Ljubljana; Somalia:Mogadishu; South Korea:Seoul; Spain:Madrid; Sudan:Khartoum; "
    "Sweden:Stockholm; Switzerland:Bern; Syria:Damascus; Tajikistan:Dushanbe; Thailand:Bangkok; Togo:Lomé; "
    "Tonga:Nukuʻalofa; Turkey:Ankara; Turkmenistan:Ashgabat; Uganda:Kampala; Ukraine:Kyiv; United Kingdom:London; "
    "Uruguay:Montevideo; Uzbekistan:Tashkent; Vanuatu:Port Vila; Venezuela:Caracas; Vietnam:Hanoi; Zambia:Lusaka; "
    "Zimbabwe:Harare"
)

# Symbols in the order of atomic numbers, from 1.
ELEMENTS = _pairs(
    "hydrogen:H; helium:He; lithium:Li; beryllium:Be; boron:B; carbon:C; nitrogen:N; oxygen:O; fluorine:F; neon:Ne; "
    "sodium:Na; magnesium:Mg; aluminium:Al; silicon:Si; phosphorus:P; sulfur:S; chlorine:Cl; argon:Ar; potassium:K; "
    "calcium:Ca; scandium:Sc; titanium:Ti; vanadium:V; chromium:Cr; manganese:Mn; iron:Fe; cobalt:Co; nickel:Ni; "
    "copper:Cu; zinc:Zn; gallium:Ga; germanium:Ge; arsenic:As; selenium:Se; bromine:Br; krypton:Kr; rubidium:Rb; "
    "strontium:Sr; yttrium:Y; zirconium:Zr; niobium:Nb; molybdenum:Mo; technetium:Tc; ruthenium:Ru; rhodium:Rh; "
    "palladium:Pd; silver:Ag; cadmium:Cd; indium:In; tin:Sn; antimony:Sb; tellurium:Te; iodine:I; xenon:Xe; "
    "caesium:Cs; barium:Ba"
)

# No word here is also an opposite of a word in another pair.
OPPOSITES = _pairs(
    "hot:cold; day:night; up:down; left:right; early:late; rich:poor; happy:sad; open:closed; wet:dry; full:empty; "
    "heavy:light; fast:slow; young:old; wide:narrow; deep:shallow; sharp:blunt; loud:quiet; clean:dirty; "
    "strong:weak; long:short; love:hate; win:lose; buy:sell; push:pull; arrive:depart; question:answer; "
    "success:failure; "
    "friend:enemy; brave:cowardly; generous:stingy; guilty:innocent; polite:rude; "
    "rough:smooth; simple:complicated; tame:wild; top:bottom; true:false; war:peace; accept:refuse; attack:defend; "
    "float:sink; remember:forget; increase:decrease; north:south; east:west; summer:winter; "
    "entrance:exit; maximum:minimum; always:never; inside:outside; export:import; public:private; "
    "optimist:pessimist; temporary:permanent; visible:invisible; horizontal:vertical"
)

_KINDS = {
    "a mammal": "lion tiger horse rabbit elephant giraffe monkey wolf zebra camel donkey goat sheep squirrel otter",
    "a fruit": "apple banana pear mango grape papaya strawberry pineapple raspberry blueberry watermelon coconut",
    "a tool": "hammer screwdriver chisel wrench pliers drill spanner saw shovel rake axe crowbar",
    "a musical instrument": "piano violin guitar trumpet flute drum cello clarinet harp saxophone trombone oboe",
    "a piece of furniture": "table chair sofa wardrobe bookcase desk bench cupboard stool armchair dresser",
    "a vehicle": "car bus truck bicycle motorcycle tram train ship helicopter tractor van ferry",
    "a piece of clothing": "shirt trousers jacket sweater skirt scarf coat glove sock hat dress jeans",
    "a colour": "red blue green yellow purple brown black white grey pink crimson",
    "a metal": "zinc tin lead nickel aluminium platinum titanium chromium tungsten",
    "a profession": "doctor teacher plumber carpenter lawyer nurse baker pilot engineer butcher tailor dentist",
    "a part of the body": "arm leg elbow knee shoulder ankle nose ear finger stomach wrist neck",
    "a bird": "eagle sparrow owl robin pigeon swallow crow penguin ostrich parrot seagull",
    "a vegetable": "carrot onion cabbage spinach potato leek broccoli cauliflower radish turnip lettuce",
    "a kind of weather": "rain snow hail fog sunshine storm drizzle sleet thunder",
}
KINDS = {kind: tuple(words.split()) for kind, words in _KINDS.items()}

WORDS = tuple(
    sorted({word for words in KINDS.values() for word in words} | {word for pair in OPPOSITES.items() for word in pair})
)

DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)

# How many of the smaller unit one of the larger holds.
UNITS = (
    ("kilometres", "metres", 1000),
    ("metres", "centimetres", 100),
    ("centimetres", "millimetres", 10),
    ("metres", "millimetres", 1000),
    ("kilograms", "grams", 1000),
    ("grams", "milligrams", 1000),
    ("tonnes", "kilograms", 1000),
    ("litres", "millilitres", 1000),
    ("litres", "centilitres", 100),
    ("hours", "minutes", 60),
    ("minutes", "seconds", 60),
    ("hours", "seconds", 3600),
    ("days", "hours", 24),
    ("weeks", "days", 7),
    ("years", "months", 12),
    ("feet", "inches", 12),
    ("yards", "feet", 3),
    ("miles", "yards", 1760),
    ("pounds", "ounces", 16),
    ("dozens", "single pieces", 12),
)
