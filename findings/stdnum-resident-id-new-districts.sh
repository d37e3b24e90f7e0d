#!/usr/bin/env bash
# python-stdnum 2.2 (Python 3.11): `stdnum.cn.ric`, the mainland resident identity number.
#
# The numbers below are made up (serial 000 is given to nobody); their check characters follow
# GB 11643. 330113 is Linping district of Hangzhou, made in 2021; 810000, 820000 and 830000 begin the
# numbers of the residence permits for people of Hong Kong, Macau and Taiwan, issued since 2018.
#
# Guess: is_valid() answers True for all of them, or False where its table of districts is too old.
# Seen:  is_valid(), which the library documents as answering True or False, raises KeyError('county')
#        for every number of the new district, whatever the birth date. For residence permits it
#        asks whether the "district" existed when the holder was born: False for people of Hong Kong
#        and Macau born in 1950 and 1980, True for those born in 2000 and 2022, False for all of
#        Taiwan. So the holders' numbers are refused as wrong.
#
# What to do: check form, birth date and check character, and never refuse for a district; the
# library is no cross-check for such numbers.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check python-stdnum==2.2
cat > "$work/numbers.py" <<'PY'
from stdnum.cn import ric

WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)


def number(district, birth_date):
    body = f"{district}{birth_date}000"
    total = sum(int(digit) * weight for digit, weight in zip(body, WEIGHTS))
    return body + "10X98765432"[total % 11]


def answer(given):
    try:
        return ric.is_valid(given)
    except Exception as error:
        return repr(error)


seen = {
    (district, year): answer(number(district, f"{year}0823"))
    for district in ("110108", "330113", "810000", "820000", "830000")
    for year in (1950, 1980, 2000, 2022)
}
for (district, year), said in seen.items():
    print(f"{district}, born {year}: {said}")
assert {said for (district, _), said in seen.items() if district == "330113"} == {"KeyError('county')"}
for district, born_2000 in (("810000", True), ("820000", True), ("830000", False)):
    assert (seen[district, 1980], seen[district, 2000]) == (False, born_2000), district
assert seen["110108", 1980] is True
PY
"$work/venv/bin/python" "$work/numbers.py"
