"""The QR code of a token as a picture, for paper and web page.

A token's 203 characters are all of the QR alphanumeric mode and so fit version 8 (49 modules) at
error level M, which survives the loss of 15 % of its area. Drawing takes 9 ms and a PNG 6 ms more,
all Python: not for the event loop.
"""

import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import segno

ERROR_LEVEL = "M"
QUIET_ZONE_MODULES = 4  # what ISO/IEC 18004 asks for
MODULE_PIXELS = 8  # 456 pixels wide, which is 39 mm in print at 300 dpi
LEAST_MODULE_PIXELS = 2  # a test measures it: with 1, dots that run together leave nothing to read
PAPER_58_MM_DOTS = 384

_RASTER_COMMAND = b"\x1dv0\x00"
"""ESC/POS GS v 0 in normal size; width in bytes and height in dots follow, two bytes each, the
low one first.
"""


def draw(token: str) -> "segno.QRCode":
    """The QR code, in the smallest version that holds the token."""
    import segno  # with the first picture: a process that serves need not wait for it

    return segno.make_qr(token, error=ERROR_LEVEL, mode="alphanumeric", boost_error=False)


def width(code: "segno.QRCode", module_pixels: int = MODULE_PIXELS) -> int:
    """Pixels from edge to edge, the quiet zone included."""
    return int(code.symbol_size(scale=module_pixels, border=QUIET_ZONE_MODULES)[0])


def to_png(code: "segno.QRCode", module_pixels: int = MODULE_PIXELS) -> bytes:
    """A PNG, black on white."""
    out = io.BytesIO()
    code.save(out, kind="png", scale=module_pixels, border=QUIET_ZONE_MODULES)
    return out.getvalue()


def to_svg(code: "segno.QRCode", module_pixels: int = MODULE_PIXELS) -> str:
    """An SVG document, with a white ground so that a dark page does not swallow it."""
    out = io.BytesIO()
    code.save(out, kind="svg", scale=module_pixels, border=QUIET_ZONE_MODULES, light="white")
    return out.getvalue().decode()


def to_bitmap(code: "segno.QRCode", module_pixels: int = MODULE_PIXELS) -> bytes:
    """Rows from the top in whole bytes, the first pixel in the highest bit, 1 for black."""
    rows = []
    bytes_wide = -(-width(code, module_pixels) // 8)
    for modules in code.matrix_iter(scale=1, border=QUIET_ZONE_MODULES):
        bits = "".join(("1" if dark else "0") * module_pixels for dark in modules)
        row = int(bits.ljust(8 * bytes_wide, "0"), 2).to_bytes(bytes_wide, "big")
        rows.append(row * module_pixels)
    return b"".join(rows)


def to_escpos(code: "segno.QRCode", module_pixels: int = MODULE_PIXELS) -> bytes:
    """The command by which a receipt printer prints it, at the print position as it is."""
    dots = width(code, module_pixels)
    size = (-(-dots // 8)).to_bytes(2, "little") + dots.to_bytes(2, "little")
    return _RASTER_COMMAND + size + to_bitmap(code, module_pixels)
