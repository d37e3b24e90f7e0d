"""How long administrators' searches for orders take among many.

    python -m tools.bench.order_search --url postgresql://… --orders 1000000

The database has the schema (`deeptravel migrate`) and is for nothing else: orders with names, made
up, are written to it. Each search is what AdminService/SearchOrders does in the database, the names
compared, one after the other; printed are the plan, and p50, p95 and the slowest by kind of search.
"""

import argparse
import asyncio
import random
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import psycopg

from server.orders import order_search, search_terms
from server.orders.order_search import OrderQuery
from server.orders.passengers import PassengerSeals
from server.platform.config import load_settings
from server.platform.database import Database
from server.platform.errors import DomainError

KEY = b"0123456789abcdef0123456789abcdef"
SURNAMES = "王李张刘陈杨黄赵吴周徐孙马朱胡郭何林高罗郑梁谢宋唐许韩冯邓曹彭曾萧田董袁潘蒋蔡余"
GIVEN = "伟芳娜秀英敏静丽强磊军洋勇艳杰娟涛明超兰霞平刚桂文辉玲华建国宇浩轩梓涵欣怡子墨思雨晨"
LATIN = ["Ana", "Maria", "John", "Peter", "Lucia", "Ivan", "Emma", "Noah", "Olga", "Hugo", "Nina"]
FAMILY = ["Smith", "Johnson", "Muller", "Garcia", "Novak", "Rossi", "Silva", "Tanaka", "Nguyen"]
WRITTEN_AT_ONCE = 20_000


def people(count: int, dice: random.Random) -> Iterator[str]:
    """Names: two thirds in Chinese, the commonest surnames most often."""
    for number in range(count):
        if number % 3:
            surname = SURNAMES[min(int(dice.expovariate(0.12)), len(SURNAMES) - 1)]
            yield surname + "".join(dice.choices(GIVEN, k=dice.choice((1, 2, 2))))
        else:
            yield f"{dice.choice(LATIN)} {dice.choice(FAMILY)}{dice.choice('aeiou')}{number % 97}"


def fill(url: str, count: int) -> list[str]:
    """Writes so many orders; some of their names."""
    dice, now = random.Random(7), datetime.now(UTC)  # noqa: S311 - names of nobody
    names = list(people(count, dice))
    with psycopg.connect(url) as pg:
        for begin in range(0, count, WRITTEN_AT_ONCE):
            part = list(enumerate(names[begin : begin + WRITTEN_AT_ONCE], begin + 1))
            with pg.cursor().copy(
                "COPY orders (order_id, order_code, partner_id, state, jti, customer_type,"
                " customer_name, ticket_count, payment_reference, amount_minor, currency_code,"
                " create_time) FROM STDIN"
            ) as copy:
                for number, name in part:
                    made = now - timedelta(seconds=count - number)
                    jti = f"{number:032x}"
                    copy.write_row(
                        (number, f"ORD-B-{number}", 1, "PAID", jti, "ADULT", name, 1, "", 1, "HKD",
                         made)
                    )  # fmt: skip
            with pg.cursor().copy(
                "COPY order_search_terms (order_id, create_time, terms) FROM STDIN"
            ) as copy:
                for number, name in part:
                    terms = search_terms.terms_of_names([name])
                    copy.write_row((number, now - timedelta(seconds=count - number), terms))
    with psycopg.connect(url, autocommit=True) as pg:
        pg.execute("VACUUM (ANALYZE) orders, order_search_terms")
    return dice.sample(names, 200)


async def measure(url: str, names: list[str]) -> None:
    """Searches, and prints how long it took."""
    settings, seals = load_settings(), PassengerSeals(KEY)
    db = Database(settings, url)
    kinds = {
        "whole name": names,
        "part of a Chinese name": [name[-2:] for name in names if not name.isascii()],
        "surname and one character": [name[:2] for name in names if not name.isascii()],
        "part of a Latin name": [name.split()[1][1:6] for name in names if name.isascii()],
    }
    for kind, wanted in kinds.items():
        taken, refused = [], 0
        for name in wanted:
            begun = time.perf_counter()
            async with db.transaction() as tx:
                try:
                    await order_search.search(
                        tx, seals, OrderQuery(name=name), before=None, limit=50
                    )
                except DomainError:
                    refused += 1
            taken.append((time.perf_counter() - begun) * 1000)
        taken.sort()
        p50, p95 = (taken[int(len(taken) * share)] for share in (0.5, 0.95))
        print(
            f"{kind}: {len(taken)} searches, p50 {p50:.1f} ms, p95 {p95:.1f} ms, slowest"
            f" {taken[-1]:.1f} ms, {refused} refused as too many"
        )
    await db.close()


def explain(url: str, name: str) -> None:
    """Prints the plan of a search."""
    terms = search_terms.terms_of_wanted(name=name, document_number="", contact_phone="")
    with psycopg.connect(url) as pg:
        rows = pg.execute(
            "EXPLAIN (ANALYZE, BUFFERS OFF, TIMING OFF) SELECT order_id, create_time"
            " FROM order_search_terms WHERE terms @> %s::int[] LIMIT 10001",
            [terms],
        )
        print("\n".join(line for (line,) in rows))


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", required=True)
    parser.add_argument("--orders", type=int, default=1_000_000)
    given = parser.parse_args()
    search_terms.use_key(KEY)
    names = fill(given.url, given.orders)
    explain(given.url, next(name for name in names if not name.isascii()))
    asyncio.run(measure(given.url, names))


if __name__ == "__main__":
    main()
