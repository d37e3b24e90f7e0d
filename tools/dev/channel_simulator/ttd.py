"""Ctrip's side of its protocol for attractions (TTD): it calls a supplier's door, and takes prices,
quantities and notices. With seals and signatures of its own: it shares no code with the server.

Unverified against the vendor, as the server's side is.
"""

import hashlib
import json
import secrets
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import httpx2
from cryptography.hazmat.primitives import padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

BASE = "/ttd/api"
KEYS_FILE = "ttd_keys.json"
ANSWER_SECONDS = 10.0
MOST_DAYS = 90
PUSHES = {"DatePriceModify": "prices", "DateInventoryModify": "inventorys"}
NOTICES = (
    "OrderConsumedNotice",
    "PayPreOrderConfirm",
    "CreateOrderConfirm",
    "CancelOrderConfirm",
    "EditOrderConfirm",
    "OrderTravelNotice",
)
FAULTS = ("down", "lost", "refused")
"""What may go wrong with something that is sent to Ctrip: 503, carried out and then 500, a code."""
_CHINA = timezone(timedelta(hours=8))


class _Refused(Exception):  # noqa: N818 - an answer
    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


class CtripTtd:
    """Ctrip with one supplier.

    Attributes:
        prices: by option and day what was pushed last; `stock` likewise.
        notices: service and content of each that was taken, a repeat included.
        faults: why something that was sent was refused by Ctrip's own checks.
        trouble: what happens to the next things that are sent, see FAULTS.
    """

    def __init__(self, folder: Path) -> None:
        self.keys = _kept(folder / KEYS_FILE)
        self.forget()

    def forget(self) -> None:
        """As it was at the start; keys stay."""
        self.prices: dict[tuple[str, str], dict[str, Any]] = {}
        self.stock: dict[tuple[str, str], int] = {}
        self.notices: list[tuple[str, dict[str, Any]]] = []
        self.faults: list[str] = []
        self.trouble: list[str] = []

    # ---------------------------------------------------------------------------- Ctrip calls

    def signed(self, service: str, content: dict[str, Any], **header: str) -> bytes:
        """A call as Ctrip makes it; fields of the header may be falsified."""
        body = self._sealed(json.dumps(content, ensure_ascii=False).encode())
        said = {
            "accountId": self.keys["account_id"],
            "serviceName": service,
            "requestTime": datetime.now(_CHINA).strftime("%Y-%m-%d %H:%M:%S"),
            "version": "1.0",
        }
        said["sign"] = self._sign(said, body)
        return json.dumps({"header": said | header, "body": body}).encode()

    def opened(self, raw: bytes) -> tuple[str, dict[str, Any] | None]:
        """Code and content of a supplier's answer."""
        answer = json.loads(raw)
        sealed = answer.get("body")
        return answer["header"]["resultCode"], json.loads(self._plain(sealed)) if sealed else None

    async def call(
        self, url: str, service: str, content: dict[str, Any], **header: str
    ) -> tuple[str, dict[str, Any] | None]:
        """Calls a supplier's door."""
        async with httpx2.AsyncClient(timeout=ANSWER_SECONDS, trust_env=False) as http:
            answer = await http.post(
                url,
                content=self.signed(service, content, **header),
                headers={"content-type": "application/json"},
            )
        return self.opened(answer.raise_for_status().content)

    @staticmethod
    def sequence() -> str:
        """A new sequenceId."""
        return f"{datetime.now(UTC).date().isoformat()}{uuid.uuid4().hex}"

    def an_order(self, ota_order_id: str, *items: dict[str, Any]) -> dict[str, Any]:
        """What VerifyOrder, CreatePreOrder and CreateOrder say of an order of these items."""
        return {
            "sequenceId": self.sequence(),
            "otaOrderId": ota_order_id,
            "confirmType": 1,
            "contacts": [{"name": "王伟", "mobile": "13800000000", "intlCode": "86"}],
            "items": list(items),
        }

    # ------------------------------------------------------------------------- Ctrip is called

    def routes(self) -> list[Route]:
        """What suppliers call."""

        def push(service: str) -> Callable[[dict[str, Any]], None]:
            def keep(content: dict[str, Any]) -> None:
                option, rows = content.get("supplierOptionId"), content.get(PUSHES[service])
                if not option or not isinstance(rows, list) or not rows:
                    raise _Refused("1001", "supplierOptionId or its days are missing")
                if len(rows) > MOST_DAYS:
                    raise _Refused("1006", f"{PUSHES[service]} are of more than {MOST_DAYS} days")
                for row in rows:
                    datetime.strptime(row["date"], "%Y-%m-%d").replace(tzinfo=UTC)
                    if service == "DatePriceModify":
                        self.prices[option, row["date"]] = row
                    else:
                        self.stock[option, row["date"]] = row["quantity"]

            return keep

        def note(service: str) -> Callable[[dict[str, Any]], None]:
            def keep(content: dict[str, Any]) -> None:
                if not content.get("otaOrderId"):
                    raise _Refused("1001", "otaOrderId is missing")
                self.notices.append((service, content))

            return keep

        pushes = {service: push(service) for service in PUSHES}
        notices = {service: note(service) for service in NOTICES}
        paths = {
            "/product/price.do": {"DatePriceModify": pushes["DatePriceModify"]},
            "/product/stock.do": {"DateInventoryModify": pushes["DateInventoryModify"]},
            "/order/notice.do": notices,
        }
        routes = [
            Route(BASE + path, self._serve(services), methods=["POST"])
            for path, services in paths.items()
        ]
        return [
            *routes,
            Route("/simulator-ttd/prices", self._see_prices, methods=["GET"]),
            Route("/simulator-ttd/call", self._asked, methods=["POST"]),
        ]

    def _serve(self, services: dict[str, Callable[[dict[str, Any]], None]]) -> Any:
        async def serve(request: Request) -> Response:
            raw = await request.body()
            trouble = self.trouble.pop(0) if self.trouble else ""
            if trouble == "down":
                return Response("Service Unavailable", 503)
            code, message = "0000", "success"
            try:
                service, content = self._proven(raw)
                if service not in services:
                    raise _Refused("0004", f"no service {service} at this path")
                if trouble == "refused":
                    raise _Refused("1009", "refused for a try")
                services[service](content)
            except _Refused as refused:
                code, message = refused.code, str(refused)
                if trouble != "refused":
                    self.faults.append(message)
            if trouble == "lost":
                return Response("Internal Server Error", 500)
            return JSONResponse({"header": {"resultCode": code, "resultMessage": message}})

        return serve

    async def _see_prices(self, _request: Request) -> Response:
        rows = [{"PLU": option, **row} for (option, _), row in self.prices.items()]
        return JSONResponse(rows)

    async def _asked(self, request: Request) -> Response:
        """Has Ctrip call: `{"url": …, "service": …, "content": …}`."""
        asked = json.loads(await request.body())
        said = asked["content"]
        said.setdefault("sequenceId", self.sequence())
        code, content = await self.call(asked["url"], asked["service"], said)
        return JSONResponse({"code": code, "content": content})

    def _proven(self, raw: bytes) -> tuple[str, dict[str, Any]]:
        try:
            envelope = json.loads(raw)
            header, body = envelope["header"], envelope["body"]
            given = {name: header[name] for name in ("accountId", "serviceName", "requestTime")}
            datetime.strptime(header["requestTime"], "%Y-%m-%d %H:%M:%S").replace(tzinfo=_CHINA)
            right = self._sign({**given, "version": header["version"]}, body)
        except (ValueError, KeyError, TypeError) as error:
            raise _Refused("0001", f"no envelope: {error!r}") from None
        if header["accountId"] != self.keys["account_id"]:
            raise _Refused("0003", "another account")
        if header["sign"] != right:
            raise _Refused("0002", "the signature does not fit")
        content = json.loads(self._plain(body))
        if not content.get("sequenceId"):
            raise _Refused("0001", "sequenceId is missing")
        return header["serviceName"], content

    # ------------------------------------------------------------------------------- the seal

    def _sign(self, header: dict[str, str], body: str) -> str:
        parts = header["accountId"], header["serviceName"], header["requestTime"], body
        text = "".join((*parts, header["version"], self.keys["sign_key_secret"]))
        return hashlib.md5(text.encode()).hexdigest()  # noqa: S324 - the vendor's

    def _cipher(self) -> Cipher[modes.CBC]:
        key, vector = self.keys["aes_key_secret"].encode(), self.keys["aes_iv_secret"].encode()
        return Cipher(algorithms.AES128(key), modes.CBC(vector))

    def _sealed(self, plain: bytes) -> str:
        padder, encryptor = padding.PKCS7(128).padder(), self._cipher().encryptor()
        content = encryptor.update(padder.update(plain) + padder.finalize())
        content += encryptor.finalize()
        return "".join(chr(97 + (byte >> 4)) + chr(97 + (byte & 15)) for byte in content)

    def _plain(self, sealed: str) -> bytes:
        pairs = zip(sealed[::2], sealed[1::2], strict=True)
        content = bytes((ord(high) - 97) * 16 + ord(low) - 97 for high, low in pairs)
        unpadder, decryptor = padding.PKCS7(128).unpadder(), self._cipher().decryptor()
        return unpadder.update(decryptor.update(content) + decryptor.finalize()) + (
            unpadder.finalize()
        )


def _kept(path: Path) -> dict[str, str]:
    """The keys in a file, made if there are none."""
    if not path.exists():
        made = {
            "account_id": secrets.token_hex(8),
            "sign_key_secret": secrets.token_hex(16),
            "aes_key_secret": secrets.token_hex(8),
            "aes_iv_secret": secrets.token_hex(8),
        }
        path.touch(mode=0o600)
        path.write_text(json.dumps(made))
    kept: dict[str, str] = json.loads(path.read_text())
    return kept
