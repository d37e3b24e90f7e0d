"""`python -m tools.dev.channel_simulator --help`."""

import asyncio
import json
import signal
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from tools.dev.channel_simulator.app import ChannelSimulator
from tools.dev.channel_simulator.switches import Switches
from tools.dev.channel_simulator.ttd import BASE

DEFAULT_FOLDER = Path(".deeptravel/channels")
ANNOUNCED_FILE = "channels.json"


def serve(
    folder: Annotated[Path, typer.Option(help="Keys, books and channels.json.")] = DEFAULT_FOLDER,
    port: Annotated[int, typer.Option(help="On 127.0.0.1; 0 takes a free one.")] = 8091,
    ready_file: Annotated[
        Path | None, typer.Option(help="Written when it serves: the same as channels.json.")
    ] = None,
    until_input_ends: Annotated[
        bool, typer.Option("--until-input-ends", help="End when standard input is closed, too.")
    ] = False,
    switch: Annotated[
        list[str] | None,
        typer.Option(help="name=value as JSON, e.g. down='{\"ctrip:prices\": 2}'."),
    ] = None,
) -> None:
    """Ctrip, Booking.com and Expedia, until Ctrl-C or SIGTERM. `GET /simulator` has where each is
    and its keys, `GET` and `PUT /simulator/switches` what goes wrong.
    """
    try:
        switches = Switches(**_parse(switch or []))
        asyncio.run(_serve(folder, port, ready_file, switches, until_input_ends=until_input_ends))
    except ValidationError as error:
        raise typer.BadParameter(str(error)) from None
    except OSError as error:
        typer.echo(f"cannot serve: {error}; give another --port or --folder", err=True)
        raise typer.Exit(3) from None


async def _serve(
    folder: Path, port: int, ready_file: Path | None, switches: Switches, *, until_input_ends: bool
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
    simulator = await ChannelSimulator(folder, switches).start(port)
    try:
        ttd = {"base_url": simulator.url + BASE, "credentials": simulator.ttd.keys}
        said = {"url": simulator.url, "channels": simulator.announced(), "ttd": ttd}
        announced = json.dumps(said)
        for path in filter(None, (folder / ANNOUNCED_FILE, ready_file)):
            fresh = path.with_name(path.name + ".new")
            fresh.touch(mode=0o600)
            fresh.write_text(announced)
            fresh.replace(path)
        print(f"channel simulator on {simulator.url}/simulator, keys in {folder}", flush=True)
        await stop.wait()
    finally:
        await simulator.stop()


def _parse(given: list[str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for each in given:
        name, equals, value = each.partition("=")
        if not equals:
            raise typer.BadParameter(f"{each!r}: write name=value")
        try:
            values[name] = json.loads(value)
        except ValueError:
            values[name] = value
    return values


if __name__ == "__main__":
    typer.run(serve)
