"""Sentences that say little about anything, of which the oracle makes its texts: no commas, no marks, no names."""

from __future__ import annotations


def _lines(text: str) -> tuple[str, ...]:
    return tuple(line.strip() for line in text.strip().splitlines())


ENGLISH = _lines(
    """
    there is more to say about this than most people think
    it is a matter that is close to my heart
    nothing of it is as hard as it seems at first
    all of us can learn it in a little time
    some do it alone and others do it with their friends
    it asks for some care and a little time each day
    the first days are the hardest ones for all of us
    an hour or two is all that it needs
    most of it is a matter of attention and good humour
    those who stay with it soon see the results
    there are small mistakes that everyone makes in the beginning
    one of them is to want too much at once
    another one is to listen to too many others
    it is better to start with something small and simple
    after a month or so it all seems natural
    then it is time to tell others about it
    that is how most of us started as well
    it costs less than one is told in the shops
    and in the end it is a great deal of fun
    no one needs to be an expert for that
    the old and the young meet here on equal terms
    that alone is reason enough to start this year
    a good story about it is told in our town
    it starts on a cold and rainy afternoon in March
    """
)

LANGUAGES: dict[str, tuple[str, tuple[str, ...]]] = {
    "de": (
        "German",
        _lines(
            """
            darüber lässt sich mehr sagen als die meisten Leute denken
            am Anfang ist es schwer und später macht es allen Freude
            man braucht dafür nur ein wenig Zeit und etwas Geduld
            wer früh damit beginnt hat es später viel leichter
            meine Großmutter hat mir das alles schon als Kind erzählt
            heute weiß ich dass sie damit recht hatte
            """
        ),
    ),
    "fr": (
        "French",
        _lines(
            """
            il y a beaucoup plus à dire que la plupart des gens ne le pensent
            au début c'est difficile mais ensuite tout le monde est content
            il faut seulement un peu de temps et de patience
            ma grand-mère me racontait déjà tout cela quand j'étais petit
            aujourd'hui je sais bien qu'elle avait raison
            nous devrions tous essayer au moins une fois dans notre vie
            """
        ),
    ),
    "es": (
        "Spanish",
        _lines(
            """
            hay mucho más que decir de lo que piensa la mayoría de la gente
            al principio es difícil pero después todos están contentos
            solo hace falta un poco de tiempo y mucha paciencia
            mi abuela ya me contaba todo esto cuando yo era pequeño
            hoy sé muy bien que ella tenía razón
            todos deberíamos intentarlo por lo menos una vez en la vida
            """
        ),
    ),
    "it": (
        "Italian",
        _lines(
            """
            c'è molto più da dire di quanto pensi la maggior parte della gente
            all'inizio è difficile ma poi tutti sono contenti
            ci vuole soltanto un po' di tempo e molta pazienza
            mia nonna mi raccontava già tutto questo quando ero piccolo
            oggi so bene che lei aveva ragione
            tutti dovremmo provare almeno una volta nella vita
            """
        ),
    ),
    "pt": (
        "Portuguese",
        _lines(
            """
            há muito mais a dizer do que a maioria das pessoas pensa
            no começo é difícil mas depois todos ficam contentes
            só é preciso um pouco de tempo e muita paciência
            a minha avó já me contava tudo isso quando eu era criança
            hoje eu sei muito bem que ela não estava errada
            todos nós deveríamos tentar pelo menos uma vez na vida
            """
        ),
    ),
    "nl": (
        "Dutch",
        _lines(
            """
            er valt veel meer over te zeggen dan de meeste mensen denken
            in het begin is het moeilijk maar later wordt het voor iedereen leuk
            je hebt er alleen een beetje tijd en veel geduld voor nodig
            mijn oma vertelde mij dit allemaal al toen ik klein was
            vandaag weet ik heel goed dat zij gelijk had
            we zouden het allemaal ten minste één keer moeten proberen
            """
        ),
    ),
    "sv": (
        "Swedish",
        _lines(
            """
            det finns mycket mer att säga om detta än de flesta tror
            i början är det svårt men sedan blir det roligt för alla
            man behöver bara lite tid och mycket tålamod
            min mormor berättade redan allt detta när jag var liten
            i dag vet jag mycket väl att hon hade rätt
            vi borde alla försöka åtminstone en gång i livet
            """
        ),
    ),
    "pl": (
        "Polish",
        _lines(
            """
            można o tym powiedzieć znacznie więcej niż większość ludzi myśli
            na początku jest trudno ale potem wszyscy są zadowoleni
            potrzeba tylko trochę czasu i dużo cierpliwości
            moja babcia opowiadała mi o tym kiedy byłem mały
            dzisiaj wiem bardzo dobrze że miała rację
            wszyscy powinniśmy spróbować przynajmniej raz w życiu
            """
        ),
    ),
    "ru": (
        "Russian",
        _lines(
            """
            об этом можно сказать гораздо больше чем думает большинство людей
            сначала это трудно но потом все очень довольны
            нужно только немного времени и много терпения
            моя бабушка рассказывала мне всё это ещё в детстве
            сегодня я хорошо знаю что она была права
            каждый из нас должен попробовать это хотя бы один раз
            """
        ),
    ),
    "fi": (
        "Finnish",
        _lines(
            """
            tästä voi sanoa paljon enemmän kuin useimmat ihmiset luulevat
            alussa se on vaikeaa mutta myöhemmin kaikki ovat iloisia
            siihen tarvitaan vain vähän aikaa ja paljon kärsivällisyyttä
            isoäitini kertoi minulle tämän kaiken jo kun olin pieni
            nyt tiedän oikein hyvin että hän oli oikeassa
            meidän kaikkien pitäisi kokeilla sitä ainakin kerran elämässä
            """
        ),
    ),
}
"""Languages by code: their English name, and sentences."""
