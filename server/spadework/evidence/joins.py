"""Words that joining or cutting turns into others: "no table", "now here", "a typical", "to get her".

A space lost in extraction mostly leaves no word behind ("ofthe"), so it may be forgiven; where both readings are
English, it may not. The lists hold function words and prefixes, and the common words that hide two.
"""

from __future__ import annotations

# Pieces that turn round or bend the word they are joined to, whichever it is.
_PREFIXES = """
no non un in im il ir dis re de mis pre anti counter under over out up off mal hyper hypo inter intra super sub co
ex semi pseudo contra extra
"""
# Words that no prefix turns into another.
_WHOLE = """
the this that these those their its his her our your which who whom was were had has have been of from they we he
she them than then when what will would could should can a an and or is as at by to on for with it
"""
# Common words that read as two others.
_DOUBLE = """
abate aboard abode abound about above abroad across acute adapt adrift afar afoot again against age aged ago agree
ahead aid aim akin alight alike alive allay allot allow alloy ally almost alone along aloud already also although
altogether always amass amaze amend amid amoral amount amuse anew annoy anoint another antidote any anyone anyway
apart apiece apolitical area around array ascent asexual ashore aside asleep aspect aspire assay assent assess asset
assets assign assist assume assure astray asymmetric asymmetrical ate atone atop attack attain attempt attend attest
attire atypical avenue averse await awake award aware awash away awoke because become becomes before befriend begin
behalf behave behead behind belie belong belongs below beset beside besides betray between beware breakout bygone
byline bypass byproduct bystander canal cancel candid cannon canopy cargo carpet checkout doing domain donate done
donor everyday everyone father forage forbear forbid forearm foresee forest forever forget forgive forgiven forgo
formal format formation forsake forties fortress fortune forward goddess godless hasten hear hearing heart heat help
here hereby heritage hero herring herself himself history however ideal ill irate island islands isle issue issued
item itself knot legend manslaughter maybe mayor mother myself nobody none noone notable notably notary noted
nothing notice notion nowadays nowhere onboard ongoing online onset onshore onside onto onward oral orbit order
ordered organ ourselves outright overall pineapple reason season setback shed shell sober sofa solo some someday
someone sometime sometimes sonic takeover theirs them theme then therapist therapists there thereby therefore
therein thereof these thesis they toad today together toil token tomorrow tonight topical toward towards towing upon
wasp wear weather went were west whatever whatnot whenever whereas whereby wherein wherever whoever withdraw
withhold within without withstand
"""

PREFIXES = frozenset(_PREFIXES.split())
_PLAIN = frozenset(_WHOLE.split())
_TWOFOLD = frozenset(_DOUBLE.split())


def bends(left: str, right: str, whole: str) -> bool:
    """Whether `left right` and `leftright`, inside the run-together `whole`, may both be read, and differently."""
    if whole in ("cannot", "percent"):
        return False
    if whole in _TWOFOLD or left + right in _TWOFOLD:
        return True
    return left in PREFIXES and right not in _PLAIN
