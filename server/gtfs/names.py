"""Names in English and Chinese, from a feed's own texts and its translations. Pure."""

from collections.abc import Mapping, Sequence

from server.gtfs.tables import FeedLine

ENGLISH = ("en", "en-hk", "en-gb", "en-us")
CHINESE = ("zh-hans", "zh-cn", "zh", "zh-hant", "zh-hk", "zh-tw", "zh-mo")
"""Languages in the order in which they are preferred."""

_KEYS = {
    "stops": "stop_id",
    "routes": "route_id",
    "trips": "trip_id",
    "fare_products": "fare_product_id",
}


class Translations:
    """Both forms of translations.txt: by record and field, or by the text itself (trans_id)."""

    def __init__(self, lines: Sequence[FeedLine]) -> None:
        self._by_record: dict[tuple[str, str, str], dict[str, str]] = {}
        self._by_value: dict[tuple[str, str, str], dict[str, str]] = {}
        for line in lines:
            language = (line["language"] or line["lang"]).lower()
            if line["trans_id"]:
                texts = self._by_value.setdefault(("", "", line["trans_id"]), {})
            elif line["field_value"]:
                key = line["table_name"], line["field_name"], line["field_value"]
                texts = self._by_value.setdefault(key, {})
            else:
                key = line["table_name"], line["field_name"], line["record_id"]
                texts = self._by_record.setdefault(key, {})
            texts.setdefault(language, line["translation"])

    def names(self, table: str, field: str, line: FeedLine) -> tuple[str, str]:
        """The text of a field in English and Chinese; as it stands there where there is none."""
        text = line[field]
        texts: Mapping[str, str] = {
            **self._by_value.get(("", "", text), {}),
            **self._by_value.get((table, field, text), {}),
            **self._by_record.get((table, field, line[_KEYS[table]]), {}),
        }
        return _preferred(texts, ENGLISH) or text, _preferred(texts, CHINESE) or text


def _preferred(texts: Mapping[str, str], languages: Sequence[str]) -> str:
    return next((texts[each] for each in languages if texts.get(each)), "")
