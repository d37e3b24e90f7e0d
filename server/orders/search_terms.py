"""By what orders are found: parts of names, documents and telephone numbers, as keyed hashes.

A database that is read by somebody without the key tells of a hash which orders share something,
not what. Each hash is a number of 32 bits: of a million orders a few may share one by chance, which
is why what is found is compared with the names themselves before it is shown.

Names in Chinese, Japanese and Korean characters are cut into pairs of neighbours, other words into
triples, so that a part of a name finds it: 小明 or 王小 finds 王小明, `ohns` finds Johnson. Of each
word its first two letters count as well, for names as short as Li.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator

from server.orders import documents
from server.orders.passengers import Passenger
from server.platform.crypto import derive, fingerprint

PURPOSE = "deeptravel order search"
LAST_CHARACTERS = 4
"""How many of a document's or telephone number's last characters are enough to find it."""
MAX_NAME_CHARS = 100
"""Of a name so many are cut into parts."""

_IDEOGRAPHS = (
    r"\u2e80-\u2fdf\u3005-\u3007\u3041-\u30ff\u3130-\u318f\u31a0-\u31bf\u31f0-\u31ff\u3400-\u4dbf"
    r"\u4e00-\u9fff\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff\U00020000-\U0003ffff"
)
"""Characters of Chinese, Japanese and Korean, whose words are not parted by blanks."""
_RUN = re.compile(f"[{_IDEOGRAPHS}]+|[^{_IDEOGRAPHS}]+")
_IS_IDEOGRAPH = re.compile(f"[{_IDEOGRAPHS}]")
# a blank, or the dot of names from other languages: 阿卜杜拉·买买提
_BETWEEN_IDEOGRAPHS = re.compile(
    rf"(?<=[{_IDEOGRAPHS}])[\s.\u00b7\u2022\u2027\u30fb\uff0e]+(?=[{_IDEOGRAPHS}])"
)

_key: bytes | None = None


def use_key(secret_key: bytes) -> None:
    """Has this process make hashes from now on; a server and a command do so when they start."""
    global _key  # noqa: PLW0603 - one for the process, as its secret key
    _key = derive(secret_key, PURPOSE)


def has_key() -> bool:
    """Whether this process makes hashes: without, nothing is written to be found."""
    return _key is not None


def read_words(name: str) -> list[str]:
    """The words of a name as they are compared: NFKC, small letters without accents; a run of
    ideographs is one word.
    """
    text = unicodedata.normalize("NFKC", name[:MAX_NAME_CHARS]).casefold()
    text = _BETWEEN_IDEOGRAPHS.sub("", text)
    words: list[str] = []
    for run in _RUN.findall(text):
        if _IS_IDEOGRAPH.match(run):
            words.append(run)
            continue
        plain = "".join(
            c for c in unicodedata.normalize("NFD", run) if not unicodedata.combining(c)
        )
        words += re.findall(r"[^\W_]+", plain)
    return words


def name_fault(name: str) -> str | None:
    """Why nobody can be searched for by this part of a name; None if one can."""
    words = read_words(name)
    if not words:
        return "holds no letter; send a part of a name"
    if all(len(word) < 2 for word in words):
        return "is too short; send two characters of a name or more"
    return None


def fits_name(wanted: str, name: str) -> bool:
    """Whether a name has every word of what is searched for: anywhere inside a word, or, where it
    has only two letters, at the beginning of one.
    """
    words = read_words(name)
    return all(any(_fits(part, word) for word in words) for part in read_words(wanted))


def fits_end(wanted: str, number: str) -> bool:
    """Whether a number is the one searched for, or ends so."""
    return number == wanted or (len(wanted) == LAST_CHARACTERS and number.endswith(wanted))


def terms_of_party(passengers: Iterable[Passenger], contact_phone: str) -> list[int]:
    """What a traveller's order is found by."""
    found: set[str] = set()
    for passenger in passengers:
        found.update(_name_parts(passenger.name))
        if number := documents.document_number(passenger.document_number):
            found.update(_number_parts("document", number))
    if contact_phone:
        found.update(_number_parts("phone", contact_phone))
    return _hashes(found)


def terms_of_names(names: Iterable[str]) -> list[int]:
    """What a partner's order is found by: the names of its customers."""
    return _hashes({part for name in set(names) for part in _name_parts(name)})


def terms_of_wanted(*, name: str, document_number: str, contact_phone: str) -> list[int]:
    """What an order has that fits a search by all of these which are not empty; a document or a
    telephone number may be its last four characters.
    """
    found = set(_wanted_parts(name))
    for kind, number in (("document", document_number), ("phone", contact_phone)):
        if number:
            found.add(f"{kind}{'-end' if len(number) == LAST_CHARACTERS else ''}:{number}")
    return _hashes(found)


def _fits(part: str, word: str) -> bool:
    if len(part) == 1 or _IS_IDEOGRAPH.match(part) or len(part) > 2:
        return part in word
    return word.startswith(part)


def _name_parts(name: str) -> Iterator[str]:
    for word in read_words(name):
        yield from _grams(word)
        if not _IS_IDEOGRAPH.match(word) and len(word) > 1:
            yield f"begin:{word[:2]}"


def _wanted_parts(name: str) -> Iterator[str]:
    for word in read_words(name):
        yield from _grams(word)
        if len(word) == 2 and not _IS_IDEOGRAPH.match(word):
            yield f"begin:{word}"


def _grams(word: str) -> Iterator[str]:
    size = 2 if _IS_IDEOGRAPH.match(word) else 3
    for begin in range(len(word) - size + 1):
        yield f"name:{word[begin : begin + size]}"


def _number_parts(kind: str, number: str) -> Iterator[str]:
    yield f"{kind}:{number}"
    yield f"{kind}-end:{number[-LAST_CHARACTERS:]}"


def _hashes(parts: Iterable[str]) -> list[int]:
    key = _key
    assert key, "use_key comes first"
    return sorted(
        {
            int.from_bytes(fingerprint(part.encode(), size_bytes=4, key=key), "big", signed=True)
            for part in parts
        }
    )
