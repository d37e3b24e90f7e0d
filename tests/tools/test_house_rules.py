"""Each rule of tools/rules.py sees what it forbids, and nothing else."""

import pytest

from tools import rules
from tools.rules import RULES, Source

SERVICER = "class GateServicer:\n    def scan(self):\n" + "        pass\n" * 20
TX = "async def work(tx):\n    await "
BROKEN = [
    ("600 lines a file", {"server/a/b.py": "x = 1\n" * 601}),
    ("70 lines a function", {"server/a/b.py": "def f():\n" + "    pass\n" * 70}),
    ("20 lines a method of a servicer", {"server/api/a/servicer.py": SERVICER}),
    ("no tables in the api", {"server/api/a/b.py": "from server.a.models import tickets\n"}),
    ("no tables in the api", {"server/api/a/b.py": 'x = "DELETE FROM tickets"\n'}),
    ("no Any in a servicer", {"server/api/a/servicer.py": "def f(x: Any): pass\n"}),
    ("100 columns", {"tests/a.py": "#" * 101}),
    ("one committer", {"server/a/b.py": "tx.commit()\n"}),
    ("one committer", {"server/a/b.py": "self._engine.begin()\n"}),
    ("no clock in rules", {"server/a/rules.py": "datetime.now()\n"}),
    ("no client call inside a transaction", {"server/a/b.py": TX + "self._client.pay()\n"}),
    (
        "no client call inside a transaction",
        {
            "server/a/b.py": "async def f():\n"
            "    async with db.transaction() as tx:\n"
            "        await client.pay()\n"
        },
    ),
    (
        "a table is written in one room",
        {
            "server/a/models.py": 'stocks = Table("stocks")\n',
            "server/a/b.py": 'x = "UPDATE stocks SET a = 1"\n',
            "server/b/c.py": "from server.a.models import stocks\nstocks.update()\n",
        },
    ),
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
    "server/a/rules.py": "def is_due(now: datetime) -> bool: ...\n",
    "server/a/b.py": "from server.a.models import stocks\n\n\nclass Quote: ...\n\n\n"
    'x = "UPDATE stocks SET a = 1"\n' + TX + "self._clients_of(tx)\n",
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


def test_a_known_number_belongs_to_a_rule() -> None:
    assert set(rules.STILL_BROKEN) <= set(RULES)
