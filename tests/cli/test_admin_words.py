"""The administrator's commands have every call and every field of the contract."""

import json
import os
import resource
import subprocess
import sys
from datetime import UTC
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from deeptravel.admin.v1 import catalogue_file_pb2, disruption_pb2, product_pb2, refund_pb2
from deeptravel.tickets.v1 import ticket_pb2
from google.api.httpbody_pb2 import HttpBody
from google.protobuf import json_format
from google.protobuf.timestamp_pb2 import Timestamp

from server.cli.admin import building, commands, grammar, tables, values
from server.cli.admin.grammar import AdminCommand
from server.cli.admin.values import UsageError
from tests.support import admin_client

ZONE = ZoneInfo("Asia/Hong_Kong")
ROOT = Path(__file__).parents[2]


def command_of(method: str) -> AdminCommand:
    (found,) = [each for each in grammar.commands().values() if each.method.name == method]
    return found


def built(command: AdminCommand, arguments: list[str]) -> Any:
    given = commands._parser(command).parse_args(arguments)
    return building.request_of(command, given, ZONE)


def test_every_call_has_one_command() -> None:
    named = [each.method.name for each in grammar.commands().values()]
    assert sorted([*named, grammar.SIGN_IN]) == sorted(m.name for m in grammar.SERVICE.methods)


@pytest.mark.parametrize(
    ("method", "words"),
    [
        ("ListPartners", "partners list"),
        ("CreatePartnerKey", "partner-keys create"),
        ("SetDepartureState", "departures set-state"),
        ("ApplyAbnormalRefund", "refunds apply-abnormal"),
        ("RollBackConfig", "config roll-back"),
        ("ListCities", "cities list"),
        ("ListRouteFares", "route-fares list"),
        ("SearchOrders", "orders search"),
    ],
)
def test_words_that_people_expect(method: str, words: str) -> None:
    command = command_of(method)
    assert f"{command.noun} {command.verb}" == words


def test_every_field_has_an_option_and_its_help(subtests: pytest.Subtests) -> None:
    for command in grammar.commands().values():
        with subtests.test(command.method.name):
            fields = {path[0].name for path in building.options_of(command).values()}
            ours = grammar.MADE_BY_US
            assert fields == set(command.method.input_type.fields_by_name) - ours
            shown = commands._parser(command).format_help()
            assert f"AdminService/{command.method.name}" in shown
            assert grammar.comment(command.method.full_name)
            for path in building.options_of(command).values():
                assert grammar.comment(path[-1].full_name)


def test_what_the_server_takes_can_be_written(subtests: pytest.Subtests, tmp_path: Path) -> None:
    """A request of each method, written as options, is the same request again. Seen red with
    enums in JSON taken by their long names alone, and with required fields in the mask.
    """
    for method, fields in admin_client.VALID.items():
        if method == grammar.SIGN_IN:
            continue
        with subtests.test(method):
            command = command_of(method)
            wanted = admin_client.message(method, **fields)
            arguments = list(written(command, wanted, tmp_path))
            if "request_id" in wanted.DESCRIPTOR.fields_by_name:
                arguments += ["--request-id", wanted.request_id]
            assert built(command, arguments) == wanted


def written(command: AdminCommand, message: Any, folder: Path) -> list[str]:
    """A request as options."""
    found: list[str] = []
    for name, path in building.options_of(command).items():
        holder, field = message, path[-1]
        for outer in path[:-1]:
            holder = getattr(holder, outer.name)
        if field.name not in {each.name for each, _ in holder.ListFields()}:
            continue
        value = getattr(holder, field.name)
        each = list(value) if field.is_repeated else [value]
        found += [text for one in each for text in (f"--{name}", text_of(field, one, folder))]
    for name in getattr(getattr(message, "update_mask", None), "paths", ()):
        if name not in {field.name for field, _ in message.ListFields()}:
            found += ["--clear", name]
    return found


def text_of(field: Any, value: Any, folder: Path) -> str:
    if field.enum_type is not None:
        return values.short_name(field.enum_type, field.enum_type.values_by_number[value].name)
    if isinstance(value, Timestamp):
        return value.ToDatetime(UTC).isoformat()
    if isinstance(value, HttpBody):
        kinds = {"application/yaml": "yaml", "text/csv": "csv", "application/zip": "zip"}
        path = folder / f"file.{kinds.get(value.content_type, 'bin')}"
        path.write_bytes(value.data)
        return str(path)
    if isinstance(value, bytes):
        (folder / "bytes").write_bytes(value)
        return f"@{folder / 'bytes'}"
    if field.message_type is not None:
        return json.dumps(json_format.MessageToDict(value, preserving_proto_field_name=True))
    return str(value)


def test_a_field_of_a_message_has_a_short_name() -> None:
    request = built(
        command_of("SearchOrders"), ["--name", "小明", "--time-from", "2026-12-04 07:00"]
    )
    assert request.search.name == "小明"
    assert request.search.time_from.ToDatetime(UTC).isoformat() == "2026-12-03T23:00:00+00:00"


def test_the_mask_says_what_was_given() -> None:
    update = command_of("UpdateProduct")
    request = built(update, ["106", "--display-name-en", "A", "--clear", "tiers", "--version", "3"])
    assert (request.product_id, request.version) == (106, 3)
    assert list(request.update_mask.paths) == ["display_name_en", "tiers"]
    assert built(update, ["106", "--validity-days", "9"]).request_id != request.request_id
    fare = '{"customer_type": "adult", "day_type": "weekday", "amount_minor": 100}'
    (read,) = built(update, ["106", "--fares", fare]).fares
    assert read == product_pb2.Fare(
        customer_type=ticket_pb2.CUSTOMER_TYPE_ADULT, day_type="weekday", amount_minor=100
    )


@pytest.mark.parametrize(
    ("text", "minor", "currency"),
    [
        ("12.34 HKD", 1234, "HKD"),
        ("HKD 1,200.00", 120000, "HKD"),
        ("12 HKD", 1200, "HKD"),
        ("500 JPY", 500, "JPY"),
        ("1.234 KWD", 1234, "KWD"),
        ("-0.05 HKD", -5, "HKD"),
        ("1234", 1234, ""),
    ],
)
def test_money(text: str, minor: int, currency: str) -> None:
    field = product_pb2.Fare.DESCRIPTOR.fields_by_name["amount_minor"]
    assert values.read_money(field, text) == (minor, currency)
    if currency:
        assert values.read_money(field, values.amount(minor, currency)) == (minor, currency)


@pytest.mark.parametrize("text", ["12.34", "12.345 HKD", "5.00 JPY", "1.2 HKD", "much", "1 hkd"])
def test_money_that_is_none(text: str) -> None:
    field = product_pb2.Fare.DESCRIPTOR.fields_by_name["amount_minor"]
    with pytest.raises(UsageError, match="amount-minor"):
        values.read_money(field, text)


@pytest.mark.parametrize(
    ("method", "arguments", "said"),
    [
        ("CreateRoute", ["1", "--stops", '{"stop": "A"}'], "there are stop_code, arrive_minutes"),
        ("CreatePartner", [], "--partner-code, --display-name"),
        ("CreatePartner", ["A", "--partner-code", "B", "--display-name", "x"], "given twice"),
        ("UpdatePartner", ["CP"], "nothing to change"),
        ("UpdatePartner", ["CP", "--clear", "nothing"], "no field"),
        ("UpdateProduct", ["1", "--refund-fee-minor", "1.00 HKD"], "write 100"),
        ("UpdateProduct", ["1", "--fares", "{"], "no JSON"),
        ("UpdateProduct", ["1", "--fares", '{"price": 1}'], "price"),
        ("UpdateProduct", ["1", "--fares", "@/nowhere"], "no file"),
        ("GetProduct", ["one"], "no whole number"),
        ("ListRefunds", ["--state", "lost"], "processing, succeeded"),
        ("ListAuditEvents", ["--time-from", "tomorrow"], "is no time"),
    ],
)
def test_what_is_wrong_says_what_to_write(method: str, arguments: list[str], said: str) -> None:
    with pytest.raises(UsageError) as error:
        built(command_of(method), arguments)
    assert said in str(error.value)


def test_a_text_comes_from_a_file_without_its_line_break(tmp_path: Path) -> None:
    """Seen red: a password out of a file that an editor wrote was refused."""
    (tmp_path / "password").write_text("a long password\n")
    given = ["root", "--display-name", "Root", "--password", f"@{tmp_path / 'password'}"]
    assert built(command_of("CreateAdministrator"), given).password == "a long password"


def test_help_names_the_fields_of_a_message() -> None:
    shown = " ".join(commands._parser(command_of("CreateRoute")).format_help().split())
    assert "an object of stop_code, arrive_minutes, depart_minutes, approximate" in shown


def test_a_preview_says_what_it_is_carried_out_with() -> None:
    """Seen red: its table had the sums alone, and nobody could send the `preview_id`."""
    answer = disruption_pb2.PreviewDisruptionResponse(preview_id="P1-x", waiting_orders=4)
    rows = tables.rows_field(answer.DESCRIPTOR)
    assert rows is not None
    said = [line.split() for line in tables.beside(answer, rows, ZONE)]
    assert ["preview_id", "P1-x"] in said


@pytest.mark.parametrize(("refused", "code"), [(0, commands.DONE), (2, commands.REFUSED)])
def test_an_import_that_refused_lines_is_not_done(refused: int, code: int) -> None:
    """As of `deeptravel catalog import`. Seen red: a script went on as if all was there."""
    answer = catalogue_file_pb2.ImportCatalogueResponse(refused_count=refused)
    assert commands._of_report(answer) == code


def test_chinese_takes_two_columns() -> None:
    assert [tables.width(text) for text in ("abc", "渡轮", "ｱ", "e\u0301")] == [3, 4, 1, 1]
    assert tables.cut("中环码头旅行社", 7) == "中环码…"
    rows = [
        product_pb2.ProductEntitlement(function_code=code, display_name_zh=name, total_uses=1)
        for code, name in (("a", "渡轮"), ("b", "ferry"))
    ]
    _, first, second = tables.Table(product_pb2.ProductEntitlement.DESCRIPTOR, ZONE).lines(rows)
    at = [line.rindex("1") for line in (first, second)]
    assert tables.width(first[: at[0]]) == tables.width(second[: at[1]])


def test_a_terminal_without_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seen red with every column cut alike: nothing of any was to be read at 64 columns."""
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "64")
    table = tables.Table(product_pb2.ProductEntitlement.DESCRIPTOR, ZONE)
    row = product_pb2.ProductEntitlement(
        function_code="ferry",
        display_name_en="A ride on the ferry across the harbour and back again",
        display_name_zh="乘渡轮往返海港一次，含候船室及行李托运服务",
        total_uses=1,
        guard_seconds=60,
    )
    heading, line = table.lines([row])
    assert table.left_out == ["GUARD_SECONDS"]
    assert "TOTAL_USES" in heading
    assert all(tables.width(each) <= 64 for each in (heading, line))
    assert line.startswith("ferry ")


def test_an_enum_is_written_short() -> None:
    account = refund_pb2.AbnormalRefundAccount.DESCRIPTOR
    assert values.enum_names(account) == ["user_bank_card", "merchant_bank_card"]


def test_it_starts_quickly() -> None:
    """Without the server: that alone takes more than half a second of processor time."""
    code = "import sys\nfrom server.command import main\nsys.argv[1:] = ['admin', '--help']\n"
    code += "try:\n    main()\nexcept SystemExit:\n    print(*sys.modules, file=sys.stderr)"
    path = os.pathsep.join([str(ROOT), str(ROOT / "generated")])
    env = os.environ | {"PYTHONPATH": path}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=env, check=True
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert "partners" in ran.stdout
    loaded = set(ran.stderr.split())
    assert loaded.isdisjoint({"sqlalchemy", "pydantic", "typer", "rich", "server.__main__"})
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1.5
