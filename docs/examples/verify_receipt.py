"""Verifies a redemption receipt by a public key alone: verify_receipt.py RECEIPT KEY.

Needs the package `cryptography`, and nothing else of ours. See docs/guides/receipts.md.
"""

import base64
import hashlib
import sys
from pathlib import Path

from cryptography.hazmat.primitives.serialization import load_pem_public_key

text, pem = (Path(name).read_bytes() for name in sys.argv[1:3])
signed, signature = text.split(b"signature: ")
key = load_pem_public_key(pem)
key.verify(base64.b64decode(signature), signed)  # raises InvalidSignature

said = dict(line.split(": ", 1) for line in signed.decode().splitlines()[1:])
event = signed[signed.index(b"result: ") : signed.index(b"chain_position: ")]
before, position = bytes.fromhex(said["chain_hash_before"]), int(said["chain_position"])
place = before + position.to_bytes(8, "big") + hashlib.sha256(event).digest()
chain_hash = hashlib.sha256(b"deeptravel redemption chain 1\0" + place).hexdigest()
if chain_hash != said["chain_hash"]:
    sys.exit("chain_hash is not that of the lines above it")
print("genuine, and its chain_hash is right")
