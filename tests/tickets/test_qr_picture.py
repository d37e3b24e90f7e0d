"""The pictures of a QR token, read back by a reader that is not ours (ZXing)."""

import struct
import zlib
from datetime import UTC, datetime
from itertools import pairwise
from uuid import uuid4
from xml.etree import ElementTree as ET

import pytest
import segno
import zxingcpp

from server.tickets import picture, qr
from server.tickets.qr import Claims, KeyState, QrKey

KEY = QrKey.generate(7, KeyState.ACTIVE)


@pytest.fixture
def token() -> str:
    return qr.seal(Claims(uuid4(), 42, datetime(2026, 1, 1, tzinfo=UTC)), KEY)


@pytest.fixture
def code(token: str) -> segno.QRCode:
    return picture.draw(token)


def read(rows: list[list[bool]]) -> zxingcpp.Barcode:
    """What ZXing finds in pixels, True for white."""
    gray = bytes(255 * white for row in rows for white in row)
    pixels = memoryview(gray).cast("B", shape=[len(rows), len(rows[0])])
    (found,) = zxingcpp.read_barcodes(pixels)
    return found


def pixels_of(png: bytes) -> list[list[bool]]:
    """The pixels of a PNG as segno writes it: one bit each, rows unfiltered or as the one above."""
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    at, data, width = 8, b"", 0
    while at < len(png):
        size, kind = struct.unpack_from(">I4s", png, at)
        body = png[at + 8 : at + 8 + size]
        if kind == b"IHDR":
            width, _, depth, colour = struct.unpack_from(">IIBB", body)
            assert (depth, colour) == (1, 0)
        data += body if kind == b"IDAT" else b""
        at += size + 12
    raw, stride = zlib.decompress(data), 1 + (width + 7) // 8
    above, rows = bytes(stride - 1), []
    for start in range(0, len(raw), stride):
        assert raw[start] in {0, 2}
        row = raw[start + 1 : start + stride]
        above = (
            row if raw[start] == 0 else bytes(a + b & 255 for a, b in zip(row, above, strict=True))
        )
        rows.append([bool(above[x // 8] & 128 >> x % 8) for x in range(width)])
    return rows


def test_the_smallest_symbol_that_fits(code: segno.QRCode) -> None:
    assert (code.version, code.error, code.mode) == (8, "M", "alphanumeric")


def test_the_png_is_read_to_the_letter(code: segno.QRCode, token: str) -> None:
    rows = pixels_of(picture.to_png(code))
    assert len(rows) == len(rows[0]) == (49 + 2 * 4) * 8
    found = read(rows)
    assert found.text == token
    assert (found.format, found.ec_level) == (zxingcpp.BarcodeFormat.QRCode, "M")


def test_the_png_has_its_quiet_zone(code: segno.QRCode) -> None:
    rows = pixels_of(picture.to_png(code))
    border = 4 * picture.MODULE_PIXELS
    assert all(all(row) for row in rows[:border] + rows[-border:])
    assert all(all(row[:border] + row[-border:]) for row in rows)


def test_the_png_survives_damage(code: segno.QRCode, token: str) -> None:
    rows = pixels_of(picture.to_png(code))
    for row in rows[220:290]:
        row[220:290] = [True] * 70  # a sticker over its middle
    assert read(rows).text == token


def test_the_svg_is_a_document_with_a_white_ground(code: segno.QRCode) -> None:
    svg = ET.fromstring(picture.to_svg(code))
    assert (svg.tag, svg.get("width")) == ("{http://www.w3.org/2000/svg}svg", "456")
    ground = svg.find(".//{*}path[@fill='#fff']")
    assert ground is not None
    assert ground.get("d") == "M0 0h57v57h-57z"


def dots_of(bitmap: bytes, width: int) -> list[list[bool]]:
    """The pixels of a bitmap, True for white."""
    wide = -(-width // 8)
    rows = [bitmap[at : at + wide] for at in range(0, len(bitmap), wide)]
    return [[not row[x // 8] & 128 >> x % 8 for x in range(width)] for row in rows]


def printed(rows: list[list[bool]]) -> list[list[bool]]:
    """As it comes out of a thermal printer: each black dot runs into the next to its right and
    below it.
    """
    wider = [[a and b for a, b in pairwise([True, *row])] for row in rows]
    return [[a and b for a, b in zip(*two, strict=True)] for two in pairwise([wider[0], *wider])]


@pytest.mark.parametrize("size", [*range(picture.LEAST_MODULE_PIXELS, 9), 32])
def test_every_size_is_read_also_from_paper(code: segno.QRCode, token: str, size: int) -> None:
    width = picture.width(code, size)
    assert width == 57 * size
    rows = pixels_of(picture.to_png(code, size))
    assert len(rows) == len(rows[0]) == width
    dots = dots_of(picture.to_bitmap(code, size), width)
    assert dots == rows
    assert read(rows).text == token
    assert read(printed(dots)).text == token
    assert f'width="{width}"' in picture.to_svg(code, size)


def test_a_size_below_the_least_is_not_read_from_paper(code: segno.QRCode, token: str) -> None:
    """The least size is measured: one smaller is read from a screen at best."""
    size = picture.LEAST_MODULE_PIXELS - 1
    dots = dots_of(picture.to_bitmap(code, size), picture.width(code, size))
    pixels = bytes(255 * white for row in printed(dots) for white in row)
    found = zxingcpp.read_barcodes(memoryview(pixels).cast("B", shape=[len(dots), len(dots[0])]))
    assert [each.text for each in found] != [token]


def test_it_fits_the_narrowest_paper(code: segno.QRCode, token: str) -> None:
    """58 mm are 384 dots: modules of 6, and no more."""
    assert picture.width(code, 6) <= picture.PAPER_58_MM_DOTS < picture.width(code, 7)
    command = picture.to_escpos(code, 6)
    assert command[:4] == b"\x1dv0\x00"
    bytes_wide, high = struct.unpack_from("<HH", command, 4)
    assert (bytes_wide, high) == (43, 342)
    assert len(command) == 8 + bytes_wide * high
    assert read(dots_of(command[8:], 8 * bytes_wide)).text == token
