"""The server's own gRPC transport, on the core in C that grpcio's servers are written on.

`new_server` gives a server with the interface of `grpc.aio.Server`; the handlers that are added to
it, and what interceptors make of them, are those of grpc.aio, so that either can serve.
"""
