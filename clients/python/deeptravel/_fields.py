"""What a caller may give for a field of a well-known type."""

from datetime import UTC, datetime
from typing import TypeAlias

from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.struct_pb2 import Struct
from google.protobuf.timestamp_pb2 import Timestamp

__all__ = ["Duration", "FieldMask", "Moment", "Struct", "timestamp"]

Moment: TypeAlias = datetime | Timestamp
"""A moment: an aware datetime, or the message."""


def timestamp(moment: Moment | None) -> Timestamp | None:
    """The message of a moment.

    Raises:
        ValueError: a datetime without a zone, which would be read as UTC by some and not by others.
    """
    if not isinstance(moment, datetime):
        return moment
    if moment.utcoffset() is None:
        raise ValueError(f"{moment!r} has no time zone: give an aware datetime")
    made = Timestamp()
    made.FromDatetime(moment.astimezone(UTC))
    return made
