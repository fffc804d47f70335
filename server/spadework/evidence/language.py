"""Which language a text is in, as far as its script and its commonest words tell; enough to know what not to compare.

Why no library: only a wrong comparison must be avoided, and a text that cannot be placed is simply not placed.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Collection, Sequence
from functools import lru_cache
from typing import Final

_WORDS = """
en the of and to in is was for that with on as by are from it at
de der die das und ist nicht mit von den dem ein eine für auf des sich im zu wurde
fr le la les des et est une dans pour que du au sur pas un par en qui
es el los las y es una para que del por con se un en su la de
it il che di è della per una con sono gli un del la nel dal
pt o os as e é uma para que não do da em com um no na foi
nl het een en van de dat is niet voor met op werd zijn te
"""
_FUNCTION: Final = {line.split()[0]: frozenset(line.split()[1:]) for line in _WORDS.strip().splitlines()}
#: A Latin text is placed when this share of its words are a language's function words, clearly more than the next's.
_SHARE, _LEAD = 0.1, 1.3
_ENOUGH = 5
_LETTERS = 2_000


def language(words: Sequence[str]) -> str | None:
    """A text's language or script, from its words in lower case; None where it cannot be told.

    `en`, `de` and so on for Latin script, else the script's Unicode name, with Chinese and Japanese as one (`cjk`).
    """
    script = _script(words)
    if script != "latin":
        return script
    if len(words) < _ENOUGH:
        return None
    shares = sorted(((_share(words, known), name) for name, known in _FUNCTION.items()), reverse=True)
    (best, name), (second, _) = shares[0], shares[1]
    return name if best >= _SHARE and best >= _LEAD * second else None


def _share(words: Sequence[str], known: Collection[str]) -> float:
    return sum(word in known for word in words) / len(words)


def _script(words: Sequence[str]) -> str | None:
    """The script that most letters are of."""
    counts: Counter[str] = Counter()
    seen = 0
    for word in words:
        counts.update(_of(char) for char in word[:20] if char.isalpha())
        seen += len(word)
        if seen > _LETTERS:
            break
    return counts.most_common(1)[0][0] if counts else None


@lru_cache(maxsize=4_096)
def _of(char: str) -> str:
    if char.isascii():
        return "latin"
    name = unicodedata.name(char, "unknown").split(maxsplit=1)[0].lower()
    return "cjk" if name in ("cjk", "hiragana", "katakana", "katakana-hiragana") else name
