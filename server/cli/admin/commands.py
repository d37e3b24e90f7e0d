"""`deeptravel admin`: every call of AdminService, for people.

Exit codes: 0 done, 1 refused by the server, 2 the command line is wrong or nobody is logged in,
3 the server does not answer.
"""

import argparse
import contextlib
import getpass
import json
import os
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from deeptravel.admin.v1 import account_pb2, admin_service_pb2_grpc
from google.protobuf import json_format
from google.protobuf.message import Message

from server.cli.admin import building, grammar, tables, values
from server.cli.admin.grammar import AdminCommand
from server.cli.admin.sessions import (
    DEFAULT_SERVER,
    AdminSession,
    CallError,
    KeptLogins,
    Server,
    connected,
)
from server.cli.admin.values import UsageError

DONE, REFUSED, USAGE, UNAVAILABLE = 0, 1, 2, 3
PROGRAM = "deeptravel admin"
REASONS = "deeptravel.common.v1.ErrorReason.ERROR_REASON_"
SECOND_FACTOR = "SECOND_FACTOR_REQUIRED"
ALL_PAGE_SIZE = 200

Ask = Callable[[Message], Any]

USAGE_TEXT = f"""\
usage: {PROGRAM} NOUN VERB [NAME] [--field VALUE …]
       {PROGRAM} login USERNAME | logout | whoami
       {PROGRAM} NOUN --help | NOUN VERB --help

Every call of AdminService, e.g.

  {PROGRAM} login root
  {PROGRAM} partners list --page-size 20
  {PROGRAM} products update 106 --display-name-en Premium
  {PROGRAM} orders search --name 小明 --json

Nouns and their verbs:
"""
END_TEXT = """
The server is localhost:50051, that of --server, or that of DEEPTRAVEL_ADMIN_SERVER. Times are of
the zone of --zone or DEEPTRAVEL_TIME_ZONE (Asia/Hong_Kong). A log-in is kept for the next commands
in a file that only you can read; DEEPTRAVEL_ADMIN_TOKEN has an access token instead. Exit codes:
0 done, 1 refused, 2 the command line is wrong or nobody is logged in, 3 the server does not answer.
"""


def main(arguments: list[str]) -> int:
    """Runs a command; the exit code."""
    try:
        return _run(arguments)
    except UsageError as error:
        _complain(str(error))
        return USAGE
    except CallError as error:
        return _explain(error)
    except OSError as error:
        if isinstance(error, BrokenPipeError):  # whoever reads it has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return DONE
        _complain(str(error))
        return USAGE
    except KeyboardInterrupt:
        return 130


def _run(arguments: list[str]) -> int:
    if not arguments or arguments[0] in {"-h", "--help", "help"}:
        print(_overview())
        return DONE if arguments else USAGE
    noun, *rest = arguments
    if noun in {"login", "logout", "whoami"}:
        return _sign_in_or_out(noun, rest)
    verbs = grammar.verbs_of(noun)
    if not verbs:
        raise UsageError(_unknown(f"there is no noun {noun!r}", noun, _nouns()))
    if not rest or rest[0] in {"-h", "--help"}:
        print(_verbs_text(verbs))
        return DONE if rest else USAGE
    command = grammar.find(noun, rest[0])
    if command is None:
        names = [each.verb for each in verbs]
        raise UsageError(_unknown(f"{noun} has no verb {rest[0]!r}", rest[0], names))
    return _call(command, rest[1:])


def _call(command: AdminCommand, arguments: list[str]) -> int:
    parser = _parser(command)
    given = parser.parse_args(arguments)
    zone = _zone(given.zone)
    request: Any = building.request_of(command, given, zone)
    if given.page_token:
        request.page_token = given.page_token
    if given.all and not request.page_size:
        request.page_size = ALL_PAGE_SIZE
    if command.is_harmful and not given.yes:
        _confirm(command, given)
    server = _server(given)
    with connected(server) as channel:
        session = AdminSession(server, channel, KeptLogins())
        stub = admin_service_pb2_grpc.AdminServiceStub(channel)
        call = getattr(stub, command.method.name)
        if command.method.server_streaming:
            return _save(session.stream(call, request), given.output)

        def ask(each: Message) -> Any:
            return session.send(call, each, session.metadata())

        try:
            return _show(command, ask, request, given, zone)
        except CallError as error:
            if error.is_away and "request_id" in command.method.input_type.fields_by_name:
                _complain(
                    "whether it was done is unknown: the same command with"
                    f" --request-id {request.request_id} tells, and does it once"
                )
            raise


def _show(
    command: AdminCommand, ask: Ask, request: Any, given: argparse.Namespace, zone: ZoneInfo
) -> int:
    answer = ask(request)
    rows = tables.rows_field(command.method.output_type)
    if rows is None:
        lines = [_json(answer)] if given.json else tables.record(answer, zone)
        print("\n".join(lines) if lines else "done")
        return _of_report(answer)
    if given.json and not given.all:
        print(_json(answer))
        return DONE
    table, count = tables.Table(values.message_of(rows), zone), 0
    for page in _pages(ask, request, answer, everything=given.all):
        found = list(getattr(page, rows.name))
        count += len(found)
        for line in [_json(each, None) for each in found] if given.json else table.lines(found):
            print(line)
        answer = page
        _progress(count if given.all else 0)
    if not given.json:
        for line in tables.beside(answer, rows, zone):
            print(line)
    more = getattr(answer, "next_page_token", "")
    if more and not given.json:
        _note(f"there are more: --all, or --page-token {more}")
    if table.left_out:
        _note(f"no room for {', '.join(table.left_out).lower()}: --json has them")
    if not count and not given.json:
        _note("none")
    return DONE


def _of_report(answer: Message) -> int:
    """The exit code of an answer: an import that refused something has not done all of it."""
    if not getattr(answer, "refused_count", 0):
        return DONE
    if not getattr(answer, "applied", True):
        _note("nothing was kept: mend what is refused, or keep the rest with --keep-going")
    return REFUSED


def _pages(ask: Ask, request: Any, first: Any, *, everything: bool) -> Iterator[Any]:
    page = first
    while True:
        yield page
        if not everything or not page.next_page_token:
            return
        request.page_token = page.next_page_token
        page = ask(request)


def _save(pieces: Iterator[Any], output: str | None) -> int:
    """Writes a file that comes in pieces; to standard output without a name."""
    size = 0
    with contextlib.ExitStack() as stack:
        out = stack.enter_context(Path(output).open("wb")) if output else sys.stdout.buffer
        for piece in pieces:
            size += out.write(piece.body.data)
            if output:
                _progress(size, "bytes")
    if output:
        _note(f"{size:,} bytes in {output}")
    else:
        sys.stdout.flush()
    return DONE


def _sign_in_or_out(word: str, arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(f"{PROGRAM} {word}", allow_abbrev=False)
    if word == "login":
        parser.add_argument("username", metavar="USERNAME")
        parser.add_argument(
            "--password-file",
            type=Path,
            help="Read the password from the first line of a file; asked for at the terminal if not"
            " given, read from standard input without one.",
        )
        parser.add_argument("--code", default="", help="Of the authenticator, or a recovery code.")
    _add_server_options(parser)
    given = parser.parse_args(arguments)
    server, tokens = _server(given), KeptLogins()
    if word == "whoami":
        login = tokens.read(server.address)
        if login is None:
            raise UsageError(f"nobody is logged in at {server.address}")
        print(f"{login['username']} at {server.address}")
        return DONE
    with connected(server) as channel:
        session = AdminSession(server, channel, tokens)
        if word == "logout":
            session.log_out()
            _note(f"logged out at {server.address}")
            return DONE
        _log_in(session, given)
    _note(f"{given.username} is logged in at {server.address}")
    return DONE


def _log_in(session: AdminSession, given: argparse.Namespace) -> None:
    if given.password_file:
        password = given.password_file.read_text().splitlines()[0]
    elif sys.stdin.isatty():
        password = getpass.getpass(f"Password of {given.username} at {session.server.address}: ")
    else:
        password = sys.stdin.readline().rstrip("\n")
    stub = admin_service_pb2_grpc.AdminServiceStub(session.channel)
    request = account_pb2.AdminLoginRequest(
        username=given.username, password=password, code=given.code
    )
    try:
        answer = session.send(stub.AdminLogin, request)
    except CallError as error:
        if error.reason != SECOND_FACTOR or given.code or not sys.stdin.isatty():
            raise
        request.code = getpass.getpass("Code of the authenticator, or a recovery code: ")
        answer = session.send(stub.AdminLogin, request)
    session.keep(given.username, answer)


def _parser(command: AdminCommand) -> argparse.ArgumentParser:
    words = f"{command.noun} {command.verb}"
    said = grammar.comment(command.method.full_name)
    parser = argparse.ArgumentParser(
        f"{PROGRAM} {words}",
        description=said,
        epilog=f"Calls AdminService/{command.method.name}.",
        allow_abbrev=False,
    )
    building.add_options(parser, command)
    output = parser.add_argument_group("output")
    output.add_argument("--json", action="store_true", help="JSON, with the contract's names.")
    paged = "page_token" in command.method.input_type.fields_by_name
    if paged:
        output.add_argument("--page-token", metavar="TOKEN", help="Of the page before.")
        output.add_argument(
            "--all", action="store_true", help="All pages as they come; with --json a line a row."
        )
    else:
        parser.set_defaults(all=False, page_token="")
    if command.method.server_streaming:
        output.add_argument("--output", metavar="FILE", help="Standard output if not given.")
    output.add_argument("--zone", metavar="ZONE", help="Whose clocks times are of.")
    if command.is_harmful:
        parser.add_argument("--yes", action="store_true", help="Do not ask whether it is meant.")
    else:
        parser.set_defaults(yes=True)
    _add_server_options(parser)
    return parser


def _add_server_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("server")
    env = os.environ
    group.add_argument(
        "--server",
        default=env.get("DEEPTRAVEL_ADMIN_SERVER", DEFAULT_SERVER),
        metavar="HOST:PORT",
        help="Its gRPC port (DEEPTRAVEL_ADMIN_SERVER).",
    )
    ca = env.get("DEEPTRAVEL_ADMIN_TLS_CA")
    group.add_argument("--tls", action="store_true", help="TLS, with the CAs of this machine.")
    group.add_argument(
        "--tls-ca",
        type=Path,
        default=Path(ca) if ca else None,
        metavar="FILE",
        help="TLS, with the CA in this PEM file (DEEPTRAVEL_ADMIN_TLS_CA).",
    )
    group.add_argument("--insecure", action="store_true", help="No TLS to another machine either.")
    group.add_argument("--timeout", type=float, default=30.0, metavar="SECONDS", help="Of a call.")


def _server(given: argparse.Namespace) -> Server:
    return Server(given.server, given.tls, given.tls_ca, given.insecure, given.timeout)


def _zone(name: str | None) -> ZoneInfo:
    wanted = name or os.environ.get("DEEPTRAVEL_TIME_ZONE") or "Asia/Hong_Kong"
    try:
        return ZoneInfo(wanted)
    except (ZoneInfoNotFoundError, ValueError):
        raise UsageError(f"--zone: {wanted} is no IANA time zone such as Asia/Hong_Kong") from None


def _confirm(command: AdminCommand, given: argparse.Namespace) -> None:
    """Raises UsageError unless somebody at a terminal says yes."""
    names = [getattr(given, f"@{field.name}") or "" for field in command.positional]
    what = " ".join([command.noun, command.verb, *names]).strip()
    if not sys.stdin.isatty():
        raise UsageError(f"{what}: write --yes, since nobody can be asked here")
    sys.stderr.write(f"{grammar.comment(command.method.full_name)}\n")
    if input(f"{what}: is that meant? (yes/no) ").strip().lower() not in {"y", "yes"}:
        raise UsageError("nothing was done")


def _explain(error: CallError) -> int:
    """Says why a call was refused: the reason, the fields, what the contract says of it."""
    _complain(f"{error.reason}: {error}")
    for path, what in error.fields:
        head, bracket, inside = path.partition("[")
        name = head.rpartition(".")[2]  # of a message taken apart
        sys.stderr.write(f"  --{values.kebab(name)}{bracket}{inside}: {what}\n")
    before, _, remedy = grammar.comment(REASONS + error.reason).partition("Remedy: ")
    if said := f"Remedy: {remedy}" if remedy else before:
        sys.stderr.write(textwrap.indent(textwrap.fill(said, 96), "  ") + "\n")
    if error.reason == "UNAUTHENTICATED":
        sys.stderr.write(f"  Log in again: {PROGRAM} login USERNAME\n")
    return UNAVAILABLE if error.is_away else REFUSED


def _json(message: Message, indent: int | None = 2) -> str:
    shown = json_format.MessageToDict(message, preserving_proto_field_name=True)
    return json.dumps(shown, ensure_ascii=False, indent=indent)


def _overview() -> str:
    lines = [USAGE_TEXT.rstrip()]
    for noun in _nouns():
        verbs = ", ".join(each.verb for each in grammar.verbs_of(noun))
        lines += textwrap.wrap(
            f"  {noun:29}{verbs}", 98, subsequent_indent=" " * 31, break_on_hyphens=False
        )
    return "\n".join([*lines, END_TEXT.rstrip()])


def _verbs_text(verbs: list[AdminCommand]) -> str:
    noun = verbs[0].noun
    lines = [f"usage: {PROGRAM} {noun} VERB … (each with --help)", ""]
    for each in verbs:
        said = grammar.summary(each.method.full_name)
        lines += textwrap.wrap(f"  {each.verb:15} {said}", 98, subsequent_indent=" " * 18)
    return "\n".join(lines)


def _nouns() -> list[str]:
    return sorted({noun for noun, _ in grammar.commands()})


def _unknown(what: str, wanted: str, known: list[str]) -> str:
    import difflib

    near = difflib.get_close_matches(wanted, known, 1)
    remedy = f"did you mean {near[0]}?" if near else f"there are: {', '.join(known)}"
    return f"{what}; {remedy}"


def _complain(text: str) -> None:
    _progress(0)
    sys.stderr.write(f"{text}\n")


def _note(text: str) -> None:
    """Says something that is not of the output."""
    _progress(0)
    sys.stderr.write(f"{text}\n")


def _progress(count: int, unit: str = "rows") -> None:
    """How far it is, where somebody waits at a terminal and the output goes elsewhere; 0 takes it
    away.
    """
    if sys.stderr.isatty() and not sys.stdout.isatty():
        sys.stderr.write(f"\r\x1b[K{f'{count:,} {unit}' if count else ''}")
        sys.stderr.flush()
