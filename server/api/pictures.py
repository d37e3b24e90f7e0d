"""Pictures of QR codes in answers."""

from typing import Protocol, TypeVar

from deeptravel.tickets.v1 import ticket_pb2

from server.api import convert
from server.tickets.issuing import Issuer

_FORMAT_NAMES = convert.enum_names(ticket_pb2.QrPictureFormat)


class Drawable(Protocol):
    """An answer with a QR's token, and room for its picture."""

    encrypted_data: str
    png: bytes
    svg: str
    raster: bytes
    width_pixels: int


D = TypeVar("D", bound=Drawable)


async def draw(issuer: Issuer, response: D, asked: ticket_pb2.QrPicture) -> D:
    """The answer with its token drawn; repeats are not stored with it, as the token says it all."""
    pictures = await issuer.draw(
        response.encrypted_data, _FORMAT_NAMES[asked.format], asked.module_pixels
    )
    response.png, response.svg = pictures.png, pictures.svg
    response.raster, response.width_pixels = pictures.raster, pictures.width_pixels
    return response
