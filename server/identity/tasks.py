"""What is done for log-ins by the clock."""

from datetime import timedelta

from server.identity.service import purge_logins
from server.platform.config import Settings
from server.platform.schedule import About, Job, in_chunks


def jobs(_: Settings) -> list[Job]:
    """What is done by the clock."""
    return [
        Job(
            "purge-logins",
            timedelta(hours=1),
            in_chunks(purge_logins),
            about=About(
                "Forgets log-ins that are over, and old failures to log in.",
                "清除已失效的登录会话和过期的登录失败记录。",
            ),
        )
    ]
