"""Subscribe messages of the mini program.

WeChat cannot tell a message that it has had from a new one, and cannot be asked. What it does know
is consents: each message uses one up. A message whose answer was lost is sent again, with whatever
consents are left.
"""

from server.notifications import rules
from server.notifications.sending import AttemptResult, Outgoing, SendResult
from server.notifications.template_rules import fill
from server.platform.errors import DomainError
from server.platform.faults import fault_text
from server.wechat import mini_program
from server.wechat.access_tokens import AccessTokens
from server.wechat.mini_program import Handling, MiniProgramError, ValueRefusedError, WechatAnswer
from server.wechat.mini_program_client import MiniProgramClient, NotSentError, OutcomeUnknownError
from server.wechat.signatures import ContentInvalidError

_RESULTS = {
    Handling.SENT: AttemptResult.SENT,
    Handling.RETRY: AttemptResult.RETRY,
    # a fresh token was refused as well
    Handling.REFRESH_TOKEN: AttemptResult.RETRY,
    Handling.GIVE_UP: AttemptResult.GIVE_UP,
    Handling.NO_CONSENT: AttemptResult.NO_CONSENT,
    Handling.STOP_TEMPLATE: AttemptResult.STOP_TEMPLATE,
    Handling.STOP: AttemptResult.STOP,
}


class WechatSender:
    """Sends by WeChat."""

    channel = rules.WECHAT
    at_once = 256

    def __init__(self, client: MiniProgramClient, tokens: AccessTokens) -> None:
        self._client = client
        self._tokens = tokens

    async def send(self, message: Outgoing) -> SendResult:
        """One attempt; a token that WeChat calls invalid is replaced once in it."""
        template = message.template
        try:
            data = {
                keyword: mini_program.fit(keyword, fill(text, message.values))
                for keyword, text in template.fields.items()
            }
        except ValueRefusedError as error:
            return SendResult(AttemptResult.GIVE_UP, "VALUE_REFUSED", str(error))
        body = mini_program.send_body(
            openid=message.address,
            template_id=template.template_id,
            page=fill(template.page, message.values),
            language=message.language,
            data=data,
        )
        try:
            verdict = await self._post(body)
        except MiniProgramError as error:
            return _result(error.verdict, error.handling)
        except NotSentError as error:
            return SendResult(AttemptResult.RETRY, "UNREACHABLE", str(error))
        except (OutcomeUnknownError, ContentInvalidError) as error:
            return SendResult(AttemptResult.UNKNOWN, "NO_ANSWER", str(error))
        except DomainError as error:  # the token is in the database
            return SendResult(AttemptResult.RETRY, error.reason.value, error.message)
        except Exception as error:  # noqa: BLE001 - whatever else it was, it may have been taken
            return SendResult(AttemptResult.UNKNOWN, "FAULT", fault_text(error))
        return _result(verdict, verdict.handling)

    async def _post(self, body: bytes) -> WechatAnswer:
        token = await self._tokens.get()
        verdict = await self._client.send(token, body)
        if verdict.handling is Handling.REFRESH_TOKEN:
            verdict = await self._client.send(await self._tokens.get(refused=token), body)
        return verdict

    async def close(self) -> None:
        """Closes its connections."""
        await self._client.close()


def _result(verdict: WechatAnswer, handling: Handling) -> SendResult:
    return SendResult(_RESULTS[handling], str(verdict.code), verdict.words, verdict.wait_seconds)
