"""`python -m tools.dev.wechat_simulator --help`."""

import asyncio
import json
import shlex
import signal
import sys
from pathlib import Path
from typing import Annotated, Any

import httpx2
import typer
from pydantic import ValidationError

from tools.dev.wechat_simulator.app import Simulator
from tools.dev.wechat_simulator.merchant import MERCHANT_FILE
from tools.dev.wechat_simulator.switches import Switches

DEFAULT_FOLDER = Path(".deeptravel/wechat")

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="WeChat Pay and the log-in of mini programs, simulated: no account is needed.",
    epilog="`make run` starts one by itself, unless the server has URLs of a database. By hand:"
    " `serve`, then give the server what `settings` prints, and DEEPTRAVEL_WECHAT_NOTIFY_URL if"
    " it is on another machine.",
)

Folder = Annotated[Path, typer.Option(help="Keys, state and merchant.json.")]
Url = Annotated[str, typer.Option(help="Where the simulator is; the one of the folder if empty.")]


@app.command()
def serve(
    folder: Folder = DEFAULT_FOLDER,
    port: Annotated[int, typer.Option(help="On 127.0.0.1; 0 takes a free one.")] = 8090,
    ready_file: Annotated[
        Path | None, typer.Option(help="Written when it serves: the same as merchant.json.")
    ] = None,
    until_input_ends: Annotated[
        bool, typer.Option("--until-input-ends", help="End when standard input is closed, too.")
    ] = False,
    switch: Annotated[
        list[str] | None,
        typer.Option(help="name=value as JSON, e.g. lost_notices=true; see `switches`."),
    ] = None,
) -> None:
    """Serve until Ctrl-C or SIGTERM. State survives a restart."""
    switches = _parse_switches(switch or [])
    try:
        values = Switches(**switches)
        asyncio.run(_serve(folder, port, ready_file, values, until_input_ends=until_input_ends))
    except ValidationError as error:
        raise typer.BadParameter(str(error)) from None
    except OSError as error:
        typer.echo(f"cannot serve: {error}; give another --port or --folder", err=True)
        raise typer.Exit(3) from None


@app.command()
def settings(folder: Folder = DEFAULT_FOLDER) -> None:
    """Print the settings with which a server is the merchant of a running simulator, for a shell
    to evaluate.
    """
    for name, value in _announced(folder)["settings"].items():
        typer.echo(f"export DEEPTRAVEL_{name.upper()}={shlex.quote(value)}")


@app.command()
def pay(
    number: Annotated[str, typer.Argument(help="out_trade_no or prepay_id")],
    url: Url = "",
    folder: Folder = DEFAULT_FOLDER,
    fail: Annotated[bool, typer.Option("--fail", help="The traveller gives up.")] = False,
) -> None:
    """Pay an order as the traveller's phone would."""
    outcome = "fail" if fail else "success"
    _show(_call("POST", f"{_url(url, folder)}/simulator/pay/{number}", {"outcome": outcome}))


@app.command()
def switches(
    values: Annotated[
        list[str] | None, typer.Argument(help="name=value as JSON, e.g. down='{\"query\": 2}'")
    ] = None,
    url: Url = "",
    folder: Folder = DEFAULT_FOLDER,
) -> None:
    """Show what goes wrong in a running simulator, or set it."""
    address = f"{_url(url, folder)}/simulator/switches"
    found = _call("PUT", address, _parse_switches(values)) if values else _call("GET", address)
    for name, value in found["switches"].items():
        typer.echo(f"{name}={json.dumps(value)}\n    {found['descriptions'][name]}")


@app.command()
def notices(url: Url = "", folder: Folder = DEFAULT_FOLDER) -> None:
    """Show the notices of a running simulator and how they were answered."""
    _show(_call("GET", f"{_url(url, folder)}/simulator/notices"))


async def _serve(
    folder: Path, port: int, ready_file: Path | None, values: Switches, *, until_input_ends: bool
) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    if until_input_ends:

        def end() -> None:
            loop.remove_reader(sys.stdin.fileno())
            stop.set()

        loop.add_reader(sys.stdin.fileno(), end)
    simulator = await Simulator(folder, values).start(port)
    try:
        path = folder / MERCHANT_FILE
        if ready_file:
            fresh = ready_file.with_name(ready_file.name + ".new")
            fresh.touch(mode=0o600)
            fresh.write_text(path.read_text())
            fresh.replace(ready_file)
        print(f"WeChat simulator on {simulator.url}/simulator, merchant in {path}", flush=True)
        await stop.wait()
    finally:
        await simulator.stop()


def _parse_switches(given: list[str]) -> dict[str, Any]:
    values = {}
    for each in given:
        name, equals, value = each.partition("=")
        if not equals:
            raise typer.BadParameter(f"{each!r}: write name=value")
        try:
            values[name] = json.loads(value)
        except ValueError:
            values[name] = value
    return values


def _url(url: str, folder: Path) -> str:
    return url.rstrip("/") or str(_announced(folder)["url"])


def _announced(folder: Path) -> Any:
    path = folder / MERCHANT_FILE
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        typer.echo(f"{path} tells of no simulator: start one, or give --url or --folder", err=True)
        raise typer.Exit(3) from None


def _call(method: str, url: str, content: dict[str, Any] | None = None) -> Any:
    try:
        answer = httpx2.request(method, url, json=content, trust_env=False)
    except httpx2.HTTPError as error:
        typer.echo(f"{url} does not answer ({error}): is the simulator running?", err=True)
        raise typer.Exit(3) from None
    if answer.is_error:
        typer.echo(f"{answer.status_code}: {answer.json().get('message')}", err=True)
        raise typer.Exit(1)
    return answer.json()


def _show(content: Any) -> None:
    typer.echo(json.dumps(content, indent=2, ensure_ascii=False))


if __name__ == "__main__":
    app(prog_name="python -m tools.dev.wechat_simulator")
