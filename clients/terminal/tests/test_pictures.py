"""Codes in pictures, drawn by the library that reads them; a phone's screen shows light on dark."""

import asyncio
import sys
from pathlib import Path

import pytest
import zxingcpp
from deeptravel_terminal import camera, pictures
from deeptravel_terminal.camera import CameraError, Seen
from deeptravel_terminal.codes import Kind, Scanned
from PIL import Image, ImageOps

from tests.samples import OTHER_OF_OURS, OURS, PAYMENT


def symbol(text: str, scale: int = 3) -> Image.Image:
    made = zxingcpp.create_barcode(text, zxingcpp.BarcodeFormat.QRCode)
    return Image.fromarray(made.to_image(scale=scale)).convert("L")


def beside(*texts: str) -> Image.Image:
    drawn = [symbol(each) for each in texts]
    picture = Image.new("L", (sum(each.width for each in drawn) + 40, 300), 255)
    at = 0
    for each in drawn:
        picture.paste(each, (at, 40))
        at += each.width + 20
    return picture


def test_ours_is_taken_beside_a_payment_code(tmp_path: Path) -> None:
    for name, picture in {
        "left": beside(OURS, PAYMENT),
        "right": beside(PAYMENT, OURS),
        "dark": ImageOps.invert(beside(PAYMENT, OURS)),
        "turned": beside(PAYMENT, OURS).rotate(90, expand=True),
    }.items():
        picture.save(tmp_path / f"{name}.png")
        assert pictures.read_file(tmp_path / f"{name}.png") == Scanned(Kind.TICKET_QR, OURS), name


def test_the_one_in_the_middle_of_two_of_ours(tmp_path: Path) -> None:
    picture = beside(PAYMENT, OTHER_OF_OURS, OURS)
    picture.save(tmp_path / "three.png")
    assert pictures.read_file(tmp_path / "three.png") == Scanned(Kind.TICKET_QR, OTHER_OF_OURS)


def test_no_picture_and_no_code(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(pictures.PictureError, match=r"text\.png"):
        pictures.read_file(tmp_path / "text.png")
    Image.new("L", (100, 100), 255).save(tmp_path / "white.png")
    assert pictures.read_file(tmp_path / "white.png") is None


def test_a_code_that_stays_in_view_is_one_scan() -> None:
    seen, ours = Seen(), Scanned(Kind.TICKET_QR, OURS)
    assert seen.new(ours, 0.0) == ours
    assert seen.new(None, 0.5) is None
    assert seen.new(ours, 1.0) is None
    assert seen.new(Scanned(Kind.PAYMENT), 1.1) == Scanned(Kind.PAYMENT)
    assert seen.new(ours, 1.2) == ours
    assert seen.new(ours, 9.0) == ours


def of_camera(command: list[str], width: int, height: int) -> tuple[list[Scanned], str]:
    async def follow() -> None:
        async for each in camera.scans(command, width, height):
            found.append(each)

    found: list[Scanned] = []
    with pytest.raises(CameraError) as ended:
        asyncio.run(follow())
    return found, str(ended.value)


def test_frames_of_a_camera(tmp_path: Path) -> None:
    picture = beside(PAYMENT, OURS)
    (tmp_path / "frame").write_bytes(picture.tobytes())
    program = (
        "import sys; sys.stdout.buffer.write(open(sys.argv[1], 'rb').read() * 3);"
        "sys.exit('so it ends')"
    )
    command = [sys.executable, "-S", "-c", program, str(tmp_path / "frame")]
    found, said = of_camera(command, *picture.size)
    assert found == [Scanned(Kind.TICKET_QR, OURS)]
    assert "so it ends" in said


def test_a_camera_that_is_not_there() -> None:
    assert "no-such-program" in of_camera(["no-such-program"], 10, 10)[1]
    assert camera.command_of("/dev/video0", 640, 480)[0] == "ffmpeg"
    assert camera.command_of("grab --grey", 640, 480) == ["grab", "--grey"]
