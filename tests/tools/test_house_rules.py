"""Each rule of tools/rules.py sees what it forbids, and nothing else."""

import pytest

from tools.rules import RULES, Source

SERVICER = "class GateServicer:\n    def scan(self):\n" + "        pass\n" * 20
TX = "async def work(tx):\n    await "
DECIDES = "class GateServicer:\n    async def Scan(self, x):\n        if x:\n            pass\n"
LOOKS = [
    "from datetime import datetime\ndatetime.now()\n",
    "from datetime import datetime as dt\ndt.now()\n",
    "from datetime import datetime\nclock = datetime\nclock.utcnow()\n",
    "import datetime\ndatetime.date.today()\n",
    "import time as t\nt.monotonic_ns()\n",
    "from time import time\nx = time()\n",
    "from datetime import datetime\nf = field(default_factory=datetime.now)\n",
    "from server.platform import clock\nclock.now()\n",
]
WRITES = [
    'x = "UPDATE stocks SET a = 1"\n',
    'x = f"UPDATE stocks SET {a} = 1"\n',
    'x = "update stocks set a = 1"\n',
    'x = "UPDATE public.stocks SET a = 1"\n',
    'x = "INSERT INTO\\n  stocks (a)"\n',
    'x = "delete from stocks"\n',
    'x = "TRUNCATE stocks"\n',
    'x = "COPY stocks FROM STDIN"\n',
    "from server.a.models import stocks\nstocks.update()\n",
    "from server.a.models import stocks as rows\nfrom sqlalchemy import insert\ninsert(rows)\n",
    "from server.a import models\nimport sqlalchemy as sa\nsa.delete(models.stocks)\n",
    "import server.a.models\nserver.a.models.stocks.insert()\n",
    (
        "from server.a.models import stocks\nfrom sqlalchemy import update as change\n"
        "rows = stocks\nchange(rows)\n"
    ),
    (
        "from sqlalchemy.dialects.postgresql import insert as pg_insert\n"
        "from server.a.models import stocks\npg_insert(stocks)\n"
    ),
    "from server.a.models import stocks\nSTOCKS = Records('stock', stocks.c.code, q, S, K)\n",
]
BROKEN = [
    ("600 lines a file", {"server/a/b.py": "x = 1\n" * 601}),
    ("70 lines a function", {"server/a/b.py": "def f():\n" + "    pass\n" * 70}),
    ("20 lines a method of a servicer", {"server/api/a/servicer.py": SERVICER}),
    ("no tables in the api", {"server/api/a/b.py": "from server.a.models import tickets\n"}),
    ("no tables in the api", {"server/api/a/b.py": 'x = "DELETE FROM tickets"\n'}),
    ("no Any in a servicer", {"server/api/a/servicer.py": "def f(x: Any): pass\n"}),
    ("100 columns", {"tests/a.py": "#" * 101}),
    (
        "one migration a number",
        {"migrations/versions/0900_a.py": "", "migrations/versions/0900_b.py": ""},
    ),
    ("one committer", {"server/a/b.py": "tx.commit()\n"}),
    ("one committer", {"server/a/b.py": "self._engine.begin()\n"}),
    ("the field's words", {"server/a/b.py": "told = 1\n"}),
    ("the field's words", {"tools/a.py": '"""The work of a Lane."""\n'}),
    ("the field's words", {"server/a/b.py": "def redeem_lanes(): ...\n"}),
    ("the field's words", {"tests/a/test_b.py": "def test_a_fault_is_told(): ...\n"}),
    ("the field's words", {"tests/support/waiting.py": "PATIENCE_SECONDS = 60\n"}),
    ("the field's words", {"tests/a/test_refund_desk.py": "x = 1\n"}),
    ("the field's words", {"clients/python/a.py": "# it lingers\n"}),
    ("the field's words", {"tests/e2e/a.json": '"  const told = 1;"\n'}),
    ("the field's words", {"docs/a.md": "Calls go by lanes.\n"}),
    ("one place aborts", {"server/api/a/b.py": "async def f(context):\n    context.abort(1)\n"}),
    ("300 lines a channel", {"server/channels/ctrip.py": "x = 1\n" * 301}),
    ("no decisions in a servicer", {"server/api/a/servicer.py": DECIDES}),
    (
        "a statement is written once",
        {
            "server/a/b.py": 'x = Statement("SELECT 1  FROM stocks", int)\n',
            "server/a/c.py": 'y = Statement("""SELECT 1\n  FROM stocks""")\n',
        },
    ),
    ("rules are the product's", {"server/a/rules.py": "def f(): ...\n", "tests/a.py": "f()\n"}),
    *[("no clock in rules", {"server/a/rules.py": looks}) for looks in LOOKS],
    ("no client call inside a transaction", {"server/a/b.py": TX + "self._client.pay()\n"}),
    (
        "no client call inside a transaction",
        {
            "server/a/b.py": "async def f():\n"
            "    async with db.transaction() as tx:\n"
            "        await client.pay()\n"
        },
    ),
    *[
        (
            "a table is written in one room",
            {
                "server/a/models.py": 'stocks = Table("stocks")\n',
                "server/a/b.py": 'x = "UPDATE stocks SET a = 1"\n',
                "server/b/c.py": writes,
            },
        )
        for writes in WRITES
    ],
    ("a table is written in one room", {"server/b/c.py": 'x = f"UPDATE {table} SET a = 1"\n'}),
    (
        "a class name means one thing",
        {"server/a/b.py": "class Quote: pass\n", "server/c/d.py": "class Quote: pass\n"},
    ),
    (
        "no circles in a room",
        {
            "server/a/b.py": "from server.a import c\n",
            "server/a/c.py": "from server.a.d import x\n",
            "server/a/d.py": "from server.a.b import y\n",
        },
    ),
    (
        "no circles in a room",
        {"server/a/models.py": "from server.a import b\n", "server/a/b.py": "x = 1\n"},
    ),
]
KEPT = {
    "server/a/models.py": 'stocks = Table("stocks")\n',
    "server/a/rules.py": "import time\nfrom datetime import datetime\n\n\n"
    "def is_due(now: datetime, time: str) -> bool: ...\n\n\nDAY = datetime(2026, 1, 1)\n",
    "server/a/b.py": "from server.a.models import stocks\n\n\nclass Quote: ...\n\n\n"
    'x = "UPDATE stocks SET a = 1"\n' + TX + "self._clients_of(tx)\n"
    'y = Statement("SELECT 1")\nz = Statement("SELECT 2")\nis_due(x, y)\n'
    'log.info("what you update stocks by")\nseen.update(stocks)\nspan.set_code(1)\n',
    "server/api/interceptor.py": "async def f(context):\n    context.abort(1)\n",
    "server/channels/ctrip.py": "x = 1\n" * 300,
    "server/api/a/servicer.py": "class AServicer:\n    def scan(self, x: int): ...\n",
    "tests/a.py": "class Quote: ...\n",
}


def found(files: dict[str, str]) -> list[Source]:
    return [Source(path, text) for path, text in files.items()]


@pytest.mark.parametrize(("name", "files"), BROKEN)
def test_it_sees_what_it_forbids(name: str, files: dict[str, str]) -> None:
    assert list(RULES[name](found(files)))


@pytest.mark.parametrize("name", RULES)
def test_it_is_silent_about_good_code(name: str) -> None:
    assert list(RULES[name](found(KEPT))) == []
