"""The administrator's commands against a server, and the examples of docs/admin.md as printed."""

import asyncio
import json
import re
import shlex
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from server.cli.admin import commands, sessions
from tests.support import cached
from tests.support.gate_server import gate_server

ROOT = Path(__file__).parents[2]
PASSWORD = "correct horse battery staple"
ACCOUNT = """
INSERT INTO accounts (username, role, admin_roles, venue_codes, display_name, password_hash, state,
  create_time, update_time)
VALUES ('root', 'ADMIN', '{ADMINISTRATOR}', '{}', 'Root', %s, 'ACTIVE', now(), now())
"""
EXAMPLE = re.compile(r"^\$ deeptravel admin (.*)\n((?:(?!\$ |```).*\n)*)", re.MULTILINE)
LOGGED = re.compile(r"^\d{4}-\d\d-\d\dT.*\[(?:info|warning|error) .*\n", re.MULTILINE)
"""What the server says, which runs in this process."""


@dataclass
class Shell:
    """Commands as a person runs them, without a terminal."""

    capsys: pytest.CaptureFixture[str]

    async def run(self, line: str) -> tuple[int, str]:
        """The exit code, and all that was written."""
        try:
            code = await asyncio.to_thread(commands.main, shlex.split(line))
        except SystemExit as ended:
            code = int(ended.code or 0)
        written = self.capsys.readouterr()
        return code, LOGGED.sub("", written.out + written.err)

    async def done(self, line: str) -> str:
        code, written = await self.run(line)
        assert code == 0, written
        return written


@pytest.fixture(scope="module")
async def address(module_database_url: str, module_redis_url: str) -> AsyncIterator[str]:
    async with await psycopg.AsyncConnection.connect(module_database_url) as pg:
        await pg.execute(ACCOUNT, [cached.password_hash(PASSWORD)])
    async with gate_server(module_database_url, module_redis_url) as server:
        yield f"127.0.0.1:{server.app.grpc_port}"


@pytest.fixture
def shell(
    address: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> Shell:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("DEEPTRAVEL_ADMIN_SERVER", address)
    monkeypatch.setattr(sessions, "RETRIES_SECONDS", (0.0,))
    Path("password").write_text(f"{PASSWORD}\n")
    Path("wrong").write_text("guess\n")
    return Shell(capsys)


async def test_the_examples_run_as_printed(shell: Shell) -> None:
    examples = EXAMPLE.findall((ROOT / "docs/admin.md").read_text())
    assert len(examples) > 8
    for line, expected in examples:
        written = await shell.done(line)
        for part in expected.splitlines():
            assert part in written, line


async def test_a_log_in_is_kept_where_nobody_else_reads(shell: Shell) -> None:
    kept = sessions.KeptLogins()
    assert (await shell.run("partners list"))[0] == commands.USAGE
    await shell.done("login root --password-file password")
    assert kept.path.stat().st_mode & 0o777 == 0o600
    login = json.loads(kept.path.read_text())
    (server,) = login
    login[server]["expire_time"] = 0  # as if an hour had passed
    kept.path.write_text(json.dumps(login))
    await shell.done("partners list")
    renewed = json.loads(kept.path.read_text())[server]
    assert renewed["access_token"] != login[server]["access_token"]
    await shell.done("logout")
    assert json.loads(kept.path.read_text()) == {}
    token = f"Bearer {renewed['access_token']}"
    assert token not in (await shell.run("whoami"))[1]


async def test_what_is_refused_says_why(shell: Shell) -> None:
    code, written = await shell.run("login root --password-file wrong")
    assert (code, "LOGIN_FAILED" in written) == (commands.REFUSED, True)
    await shell.done("login root --password-file password")
    for line, code, said in (
        ("partners get NONE", commands.REFUSED, "NOT_FOUND"),
        ("partners update ONCE --requests-per-minute 0", commands.REFUSED, "--requests-per-minute"),
        ("orders search --name 王", commands.REFUSED, "--name"),
        ("partners revoke NONE", commands.USAGE, "--yes"),
        ("departures set-state 1 --state cancelled", commands.USAGE, "--yes"),
        ("partnrs list", commands.USAGE, "did you mean partners?"),
        ("partners lst", commands.USAGE, "did you mean list?"),
        ("partners list --nothing", commands.USAGE, "--nothing"),
        ("partners list --server 192.0.2.1:1", commands.USAGE, "--tls"),
        ("partners list --page-token stale", commands.REFUSED, "PAGE_TOKEN_INVALID"),
    ):  # fmt: skip
        found = await shell.run(line)
        assert found[0] == code, found
        assert said in found[1]


async def test_a_server_that_is_away(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEEPTRAVEL_ADMIN_TOKEN", "any")
    code, written = await shell.run("partners create A --display-name A --server 127.0.0.1:1")
    assert code == commands.UNAVAILABLE
    assert re.search("--request-id [0-9a-f]{32}", written)


async def test_a_repeat_with_the_request_id_is_done_once(shell: Shell) -> None:
    await shell.done("login root --password-file password")
    line = "partners create ONCE --display-name Once --request-id same"
    assert await shell.done(line) == await shell.done(line)
    assert (await shell.run("partners create ONCE --display-name Once"))[0] == commands.REFUSED


async def test_all_pages(shell: Shell) -> None:
    await shell.done("login root --password-file password")
    for number in range(3):
        await shell.done(f"partners create PAGE{number} --display-name 旅行社{number}")
    lines = (await shell.done("partners list --all --json --page-size 1")).splitlines()
    names = [json.loads(line)["partner_code"] for line in lines]
    assert [name for name in names if name.startswith("PAGE")] == ["PAGE0", "PAGE1", "PAGE2"]
    table = (await shell.done("partners list --all --page-size 2")).splitlines()
    assert [line.split()[0] for line in table] == ["PARTNER_CODE", *names]
