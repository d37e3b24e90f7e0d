"""Sums are what they sum."""

from server.operations.consistency.invariant import Invariant

_EVENTS = """
SELECT e.merchant_code, g.grouped_by, 'HOUR' AS span,
  date_trunc('hour', e.occurred_time, 'UTC') AS begin_time,
  CASE g.grouped_by WHEN 'VENUE' THEN e.venue_code WHEN 'TERMINAL' THEN e.terminal_device_id
    WHEN 'OPERATOR' THEN e.operator ELSE '' END AS member,
  e.function_code, e.result, coalesce(e.reason, '') AS reason, count(*) AS events,
  sum(CASE WHEN e.result = 'REJECT' THEN 0 ELSE e.quantity END) AS uses
FROM redemption_events e
CROSS JOIN (VALUES ('ALL'), ('VENUE'), ('TERMINAL'), ('OPERATOR')) AS g (grouped_by)
WHERE e.occurred_time < (SELECT until_time FROM redemption_sums_mark)
GROUP BY 1, 2, 3, 4, 5, 6, 7, 8
"""

SUMS = (
    Invariant(
        "redemption-sums",
        "the sums of redemptions, by hour and day, are those of their events",
        f"""
WITH hours AS (SELECT * FROM ({_EVENTS}) AS e),
counted AS (
  SELECT * FROM hours
  UNION ALL
  SELECT merchant_code, grouped_by, 'DAY', date_trunc('day', begin_time, 'UTC'), member,
    function_code, result, reason, sum(events), sum(uses)
  FROM hours
  WHERE begin_time < date_trunc('day', (SELECT until_time FROM redemption_sums_mark), 'UTC')
  GROUP BY 1, 2, 3, 4, 5, 6, 7, 8
)
SELECT concat_ws(' ', 'merchant', merchant_code, lower(span), begin_time, lower(grouped_by), member,
    function_code, result, reason),
  format('%s events and %s uses are summed, %s and %s there are',
    coalesce(s.events, 0), coalesce(s.uses, 0), coalesce(c.events, 0), coalesce(c.uses, 0))
FROM counted c FULL JOIN redemption_sums s
  USING (merchant_code, grouped_by, span, begin_time, member, function_code, result, reason)
WHERE (s.events, s.uses) IS DISTINCT FROM (c.events, c.uses)
""",
    ),
)
