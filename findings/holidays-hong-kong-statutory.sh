#!/usr/bin/env bash
# holidays 0.109 (Python 3.11): whether Good Friday is a holiday in Hong Kong, and 8 December in Macau.
#
# Hong Kong has general holidays (17 and all Sundays), on which schools, banks and offices close
# and ferries charge the fares of holidays, and the fewer statutory ones that every employee has.
#
# Guess: country_holidays("HK") has the 17 general holidays of 2026, Good Friday (3 April) and the
#        day after it among them, as the 'public' ones; is_working_day(3 April) is False.
# Seen:  'public', the default, are the statutory ones with the days they replace, 18 entries:
#        Good Friday and the day after it are working days, and Sunday 5 April is a holiday. The 17
#        general ones are called 'optional'. In Macau 'public' are ten, without Good Friday and
#        Christmas; 'optional' the feasts; the days off that replace them are 'government' alone.
#        The package's own calendar of the Hong Kong exchange has Good Friday.
#
# What to do: categories=("optional",) for Hong Kong; for Macau ask for all three and decide. Better:
# keep the days as the governments publish them, and compare.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check holidays==0.109
cat > "$work/look.py" <<'PY'
from datetime import date

import holidays

GOOD_FRIDAY, CHING_MING_SUNDAY = date(2026, 4, 3), date(2026, 4, 5)
plain = holidays.country_holidays("HK", years=2026)
general = holidays.country_holidays("HK", years=2026, categories=("optional",))
print("default:", len(plain), plain.get(GOOD_FRIDAY), "| optional:", len(general), general.get(GOOD_FRIDAY))
assert (len(plain), GOOD_FRIDAY in plain, CHING_MING_SUNDAY in plain) == (18, False, True)
assert plain.is_working_day(GOOD_FRIDAY) is True
assert (len(general), GOOD_FRIDAY in general, CHING_MING_SUNDAY in general) == (17, True, False)
assert GOOD_FRIDAY in holidays.financial_holidays("XHKG", years=2026)
FEAST, INSTEAD = date(2026, 12, 8), date(2026, 4, 7)  # Immaculate Conception; for Ching Ming
macau = {
    category: holidays.country_holidays("MO", years=2026, categories=(category,))
    for category in ("public", "optional", "government")
}
for category, days in macau.items():
    print("Macau,", category, len(days), FEAST in days, INSTEAD in days)
assert [len(macau[each]) for each in macau] == [10, 20, 27]
assert [INSTEAD in macau[each] for each in macau] == [False, False, True]
assert [FEAST in macau[each] for each in ("public", "optional")] == [False, True]
assert date(2026, 12, 25) not in macau["public"]
PY
"$work/venv/bin/python" "$work/look.py"
