"""Words and running text, in scripts with and without spaces."""

import itertools
import re
import unicodedata
from collections.abc import Iterable

OPENING = frozenset("([{«“‘（《「『【〈〔¿¡")
"""Marks that hold on to the word after them."""

SENTENCE_ENDS = frozenset("?!。？！…｡．؟۔।։።။។")
"""Marks that end a sentence wherever they stand; a full stop depends on what it follows."""

_CLOSERS = "\"'’”»)]}）」』】》〉〕"
_ABBREVIATION = re.compile(
    r"(mr|mrs|ms|mx|messrs|dr|prof|rev|st|mt|gen|col|maj|capt|lt|sgt|gov|sen|rep|vs)\.|([a-z]\.)+",
    re.IGNORECASE,
)
"""Titles and initials, which a name follows; no words, such as ``No.``"""

_CJK = (
    "\u2e80-\u312f\u3190-\u9fff\uf900-\ufaff\ufe30-\ufe4f"  # radicals to unified ideographs
    "\uff01-\uff9f\uffe0-\uffe6"  # full-width forms, half-width katakana
    "\U0001b000-\U0001b16f\U0001f200-\U0001f2ff\U00020000-\U0003ffff"
)
_IS_CJK = re.compile(f"[{_CJK}]")
# Thai, Lao, Tibetan, Myanmar, Khmer: no space between words, but around foreign ones.
_IS_UNSPACED = re.compile("[\u0e00-\u109f\u1780-\u17ff\u19e0-\u19ff\ua9e0-\ua9ff\uaa60-\uaa7f]")
_BOUND_TO_THE_LEFT = (
    re.escape(",.!?;:%…·—、。，．！？；：～" + _CLOSERS)
    + "ぁぃぅぇぉっゃゅょァィゥェォッャュョー々"  # no Japanese line begins with one
    + "\u0300-\u036f\u3099\u309a\ufe00-\ufe0f\U000e0100-\U000e01ef"  # accents, variants
)
_BREAK = re.compile(
    f"(?<![{re.escape(''.join(OPENING))}])(?![{_BOUND_TO_THE_LEFT}])(?:(?<=[{_CJK}])|(?=[{_CJK}]))"
)


def is_cjk(character: str) -> bool:
    """Whether a character is Han, kana or their punctuation, which take no spaces around them.

    Hangul is not among them: Korean has spaces.
    """
    return character >= "\u2e80" and _IS_CJK.match(character) is not None


def join(words: Iterable[str]) -> str:
    """Join words with the spaces that their scripts want."""
    kept = [word for word in words if word]
    pieces = kept[:1]
    for left, right in itertools.pairwise(kept):
        pieces += (right,) if holds(left, right) else (" ", right)
    return "".join(pieces)


def holds(left: str, right: str) -> bool:
    """Whether two words, neither of them empty, stand without a space between them."""
    before, after = left[-1], right[0]
    if before in OPENING or is_cjk(before) or is_cjk(after):
        return True
    if after.isalnum():
        # Thai is alphanumeric; the comparison spares most words the look-up.
        return after >= "\u0e00" and bool(_IS_UNSPACED.match(before) and _IS_UNSPACED.match(after))
    if unicodedata.category(after).startswith("M"):
        return True
    # A word that only is a mark, such as a comma of its own; a dash or ampersand stands free.
    is_mark = unicodedata.category(after) in {"Po", "Pe", "Pf"} and after not in "&@#*/¿¡"
    return is_mark and not any(character.isalnum() for character in right)


def split(text: str) -> list[str]:
    """Cut a text into words: at spaces, and around each Han character or kana.

    A mark stays with the word before it, an opening one with the word after it. `join` gives the
    text back, its white space made regular. Scripts without spaces whose words only a dictionary
    tells, such as Thai, are cut at spaces alone.
    """
    words = text.split()
    if text.isascii():
        return words
    return [piece for word in words for piece in _BREAK.split(word) if piece]


def ends_sentence(word: str, following: str = "") -> bool:
    """Whether a word, as it is written, is the last of its sentence.

    Titles (``Mr.``) and initials (``U.S.``) end none, nor does the first part of a number that was
    cut at its point (``3.`` before ``14``). ``I.`` does: it is more often the pronoun.
    """
    if word[-1:].isalnum():  # most words: no need to look closer
        return False
    bare = word.rstrip(_CLOSERS)
    if not bare.endswith("."):
        return bare[-1:] in SENTENCE_ENDS
    if bare[-2:-1].isdecimal():
        return not following[:1].isdecimal()
    name = bare.lstrip("".join(OPENING) + _CLOSERS)
    return name == "I." or not _ABBREVIATION.fullmatch(name)
