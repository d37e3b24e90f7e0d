#!/usr/bin/env bash
# mrz 0.6.2 (Python 3.11): the passport of somebody whose day or month of birth is not known.
#
# ICAO Doc 9303 part 3 lets a state write "<" for the parts of a birth date that are not known, and
# states issue such passports. The line below is made up; its check digits are right.
#
# Guess: the checker finds 80<<<< and 8001<< in order, as it does a name without given names; the
#        generator writes them.
# Seen:  both are a "false birth date", and the whole passport is not valid, although its check digits
#        are right. The generator raises DateError. A name of one part alone is a warning only.
#
# What to do: take the check digits as the verdict, and birth dates as text of which parts may lack.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check mrz==0.6.2
cat > "$work/look.py" <<'PY'
from mrz.base.functions import hash_string
from mrz.checker.td3 import TD3CodeChecker
from mrz.generator.td3 import TD3CodeGenerator


def passport(birth_date, names):
    number, expiry, optional = "X12345678", "300101", "<" * 14
    fields = [field + hash_string(field) for field in (number, birth_date, expiry, optional)]
    total = hash_string("".join(fields))
    second = f"{fields[0]}UTO{fields[1]}M{fields[2]}{fields[3]}{total}"
    return f"P<UTO{names}".ljust(44, "<") + "\n" + second


seen = {}
for born, names in (
    ("800101", "ERIKSSON<<ANNA"), ("800101", "ERIKSSON"),
    ("8001<<", "ERIKSSON<<ANNA"), ("80<<<<", "ERIKSSON<<ANNA"),
):
    checker = TD3CodeChecker(passport(born, names))
    hash_is_right = bool(checker.birth_date_hash)
    seen[born, names] = bool(checker), hash_is_right, checker.report.errors, checker.report.warnings
    print(born, names, *seen[born, names])
assert seen["800101", "ERIKSSON<<ANNA"] == (True, True, [], [])
assert seen["800101", "ERIKSSON"] == (True, True, [], ["only one identifier"])
for born in ("8001<<", "80<<<<"):
    assert seen[born, "ERIKSSON<<ANNA"] == (False, True, ["false birth date"], [])
try:
    TD3CodeGenerator("P", "UTO", "ERIKSSON", "ANNA", "X12345678", "UTO", "80<<<<", "M", "300101", "")
except ValueError as error:
    print("generator:", repr(error))
else:
    raise SystemExit("the generator writes 80<<<<")
PY
"$work/venv/bin/python" "$work/look.py"
