"""The settings of the merchant at WeChat; a part of Settings."""

import string
from pathlib import Path

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings

API_V3_KEY_BYTES = 32
PUBLIC_KEY_ID = "PUB_KEY_ID_"


class WechatSettings(BaseSettings):
    """The mini-program's and the merchant's numbers and keys, and where WeChat is."""

    wechat_app_id: str | None = Field(None, description="AppID of the mini program")
    wechat_app_secret: SecretStr | None = Field(None, description="AppSecret of the mini program")
    wechat_merchant_id: str | None = Field(
        None, description="merchant number (mchid) at WeChat Pay; none: nobody can pay"
    )
    wechat_merchant_serial: str | None = Field(
        None, description="serial number of the merchant's API certificate"
    )
    wechat_merchant_key: Path | None = Field(
        None, description="private key of that certificate, PEM (apiclient_key.pem)"
    )
    wechat_api_v3_key: SecretStr | None = Field(
        None, description="API v3 key, 32 characters; opens notices and certificates"
    )
    wechat_public_key_id: str | None = Field(
        None, description="id of WeChat Pay's public key, PUB_KEY_ID_…; none: its certificates only"
    )
    wechat_public_key: Path | None = Field(
        None, description="WeChat Pay's public key, PEM (pub_key.pem)"
    )
    wechat_pay_url: str = Field("https://api.mch.weixin.qq.com", description="where WeChat Pay is")
    wechat_login_url: str = Field(
        "https://api.weixin.qq.com", description="where the log-in of mini programs is"
    )
    wechat_notify_url: str | None = Field(
        None, description="URL of our HTTP port from outside; WeChat's notices come in under it"
    )

    @field_validator("wechat_merchant_key", "wechat_public_key")
    @classmethod
    def _existing_pem(cls, value: Path | None) -> Path | None:
        if value and not value.is_file():
            raise ValueError(f"names {value}: there is none; give an existing PEM file")
        return value

    @field_validator("wechat_merchant_serial")
    @classmethod
    def _hexadecimal(cls, value: str | None) -> str | None:
        if value and not all(character in string.hexdigits for character in value):
            raise ValueError("is not a hexadecimal number")
        return value and value.upper()

    @field_validator("wechat_api_v3_key")
    @classmethod
    def _api_v3_key_length(cls, value: SecretStr | None) -> SecretStr | None:
        if value and (found := len(value.get_secret_value().encode())) != API_V3_KEY_BYTES:
            raise ValueError(f"has {found} bytes, must have {API_V3_KEY_BYTES}")
        return value

    @field_validator("wechat_public_key_id")
    @classmethod
    def _known_public_key_id(cls, value: str | None) -> str | None:
        if value and not value.startswith(PUBLIC_KEY_ID):
            raise ValueError(f"must begin with {PUBLIC_KEY_ID}")
        return value

    @field_validator("wechat_pay_url", "wechat_login_url", "wechat_notify_url")
    @classmethod
    def _url_without_query(cls, value: str | None) -> str | None:
        if value and (
            not value.startswith(("https://", "http://")) or "?" in value or "#" in value
        ):
            raise ValueError("must begin with https:// (or http://), without query")
        return value and value.rstrip("/")

    @model_validator(mode="after")
    def _merchant_is_whole(self) -> "WechatSettings":
        parts = {
            "APP_ID": self.wechat_app_id,
            "APP_SECRET": self.wechat_app_secret,
            "MERCHANT_ID": self.wechat_merchant_id,
            "MERCHANT_SERIAL": self.wechat_merchant_serial,
            "MERCHANT_KEY": self.wechat_merchant_key,
            "API_V3_KEY": self.wechat_api_v3_key,
        }
        if self.wechat_pay_url.startswith("https:"):  # a simulator beside us finds us without
            parts["NOTIFY_URL"] = self.wechat_notify_url
        missing = [f"WECHAT_{name}" for name, value in parts.items() if not value]
        if missing and len(missing) < len(parts):
            raise ValueError(f"{', '.join(missing)}: set all of the WeChat merchant or none")
        if bool(self.wechat_public_key_id) != bool(self.wechat_public_key):
            raise ValueError("WECHAT_PUBLIC_KEY_ID and WECHAT_PUBLIC_KEY: set both or none")
        return self
