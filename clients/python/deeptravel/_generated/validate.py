"""The rules of `buf.validate`: those of another package of this process, if there is one.

A file of the contract can be registered once in a process; the library `protovalidate` of some
versions, or code of your own, brings the same one.
"""

try:
    from buf.validate import validate_pb2
except ImportError:
    from deeptravel._generated.buf.validate import validate_pb2  # type: ignore[no-redef]

__all__ = ["validate_pb2"]
