"""The QR code of a token as a picture, for paper, web page and terminal.

A token's 203 characters are all of the QR alphanumeric mode and so fit version 8 (49 modules) at
error level M, which survives the loss of 15 % of its area. Drawing takes 9 ms and a PNG 6 ms more,
all Python: not for the event loop.
"""

import io

import segno

ERROR_LEVEL = "M"
QUIET_ZONE_MODULES = 4  # what ISO/IEC 18004 asks for
MODULE_PIXELS = 8  # 456 pixels wide, which is 39 mm in print at 300 dpi


def draw(token: str) -> segno.QRCode:
    """The QR code, in the smallest version that holds the token."""
    return segno.make_qr(token, error=ERROR_LEVEL, mode="alphanumeric", boost_error=False)


def to_png(code: segno.QRCode) -> bytes:
    """A PNG, black on white."""
    out = io.BytesIO()
    code.save(out, kind="png", scale=MODULE_PIXELS, border=QUIET_ZONE_MODULES)
    return out.getvalue()


def to_svg(code: segno.QRCode) -> str:
    """An SVG document, with a white ground so that a dark page does not swallow it."""
    out = io.BytesIO()
    code.save(out, kind="svg", scale=MODULE_PIXELS, border=QUIET_ZONE_MODULES, light="white")
    return out.getvalue().decode()


def to_terminal(code: segno.QRCode) -> str:
    """57 columns by 29 lines of half blocks, black on white whatever the terminal's own colours."""
    out = io.StringIO()
    code.terminal(out, border=QUIET_ZONE_MODULES, compact=True)
    white_on_black, reset = "\x1b[38;5;231;48;5;16m", "\x1b[0m"  # the blocks are the light modules
    return "".join(f"{white_on_black}{line}{reset}\n" for line in out.getvalue().splitlines())
