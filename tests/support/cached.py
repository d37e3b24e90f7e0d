"""What costs some hundredths of a second each time it is made, and is always the same: made once.

Only for servers in this process; what they are given is what they would have made.
"""

import functools

import httpcore2
from cryptography.hazmat.primitives.asymmetric import rsa

from server.wechat import client, signatures


def remember() -> None:
    """From now on a key is checked once, and the list of certificate authorities read once."""
    setattr(  # noqa: B010 - a name of a module, not of ours
        httpcore2, "default_ssl_context", functools.cache(httpcore2.default_ssl_context)
    )
    read = functools.cache(signatures.load_private_key)

    def load_private_key(pem: bytes) -> rsa.RSAPrivateKey:
        return read(pem)

    for module in (client, signatures):
        setattr(module, "load_private_key", load_private_key)  # noqa: B010 - likewise
