"""Mail, chat and phones by way of Apprise (BSD-2), which knows how a hundred services are spoken to.

What it is told not to do: follow redirects, trust any certificate, keep files, log (it and the HTTP library below it
write addresses there, and these are secrets), point receivers to its pictures, or count a failure as success. It takes
no key by which a service could tell that a message came twice, and says of a failure no more than what it logs: so each
is worth another try, and a message that may have come before says so itself.

All mails about the same alerts refer to one id, by which mail programs thread (RFC 5256, REFERENCES); those that also
ask for the same subject, such as Gmail, show the end of an alert as a mail of its own. Apprise makes each mail's
Message-ID itself, so a mail sent twice is told by `X-Runlake-Message`. Chats get each message as a new one.
"""

from __future__ import annotations

import asyncio
import logging
import re
from functools import cache
from typing import TYPE_CHECKING

from runlake.alerts.letter import Letter
from runlake.config.alerting import Severity
from runlake.config.channels import Apprise
from runlake.errors import DeliveryError
from runlake.http import brief, pieces, redact

if TYPE_CHECKING:
    from apprise import AppriseAsset, AppriseResult
    from apprise.plugins.base import NotifyBase

DEADLINE_S = 30.0

_ANSWER = re.compile(r"(?:Response Details|\w+ Exception):\s*(?:b['\"])?(.*?)['\"]?", re.DOTALL)
"""What was answered, or went wrong: Apprise says it to those who debug."""

_KIND = {Severity.INFO: "info", Severity.WARNING: "warning", Severity.CRITICAL: "failure"}


async def send(channel: Apprise, letter: Letter) -> None:
    """In a thread: Apprise blocks. What it has begun by the deadline goes on in the background."""
    await asyncio.to_thread(_send, channel, letter)


def service(channel: Apprise) -> NotifyBase:
    """The one that the URL names. Raises ConfigError where it is not there, DeliveryError where it is none."""
    import apprise  # noqa: PLC0415 (0.3 s and 28 MB, for those who have such a channel)

    several = apprise.Apprise(asset=_asset())
    if not several.add(channel.url.reveal()) or len(several) == 0:
        raise DeliveryError(
            f"what is at {channel.url.place} is no URL that Apprise knows: write it as its documentation says",
            again=False,
        )
    if len(several.services) > 1:
        raise DeliveryError(f"{channel.url.place} has several URLs: write a channel for each", again=False)
    found = several[0]
    for option, on in {"redirect=yes": found.redirects, "verify=no": not found.verify_certificate}.items():
        if on:
            raise DeliveryError(f"leave {option} out of the URL at {channel.url.place}: it is unsafe", again=False)
    found.optional = False
    if found.overflow_mode == apprise.OverflowMode.UPSTREAM:  # some refuse what is longer than they show
        found.overflow_mode = apprise.OverflowMode.TRUNCATE
    return found


def _send(channel: Apprise, letter: Letter) -> None:
    import apprise  # noqa: PLC0415
    from apprise.plugins.email.base import NotifyEmail  # noqa: PLC0415

    one = service(channel)
    if isinstance(one, NotifyEmail):
        thread = f"<{letter.thread}@runlake.invalid>"
        one.headers |= {"References": thread, "In-Reply-To": thread, "X-Runlake-Message": letter.message_id}
    body, form = letter.html, apprise.NotifyFormat.HTML
    # Cut off in the middle, HTML is broken; text is only shorter.
    if body is None or one.resolve_format(None) != form or len(body) > one.body_maxlen:
        body, form = letter.text, apprise.NotifyFormat.TEXT
    result = apprise.Apprise(one, asset=_asset()).notify(
        body=body,
        title=letter.title,
        notify_type="success" if letter.over else _KIND[letter.severity],
        body_format=form,
        timeout=DEADLINE_S,
        log_level=logging.DEBUG,
    )
    if not result:
        raise DeliveryError(_why(result, channel.url.reveal()), again=True)


def _why(result: AppriseResult, url: str) -> str:
    import apprise  # noqa: PLC0415

    if result.status is apprise.AppriseResultStatus.TIMEOUT:
        return f"it was not done within {DEADLINE_S:g} s; it may arrive all the same"
    told = [each.message for each in result.logs() if each.level not in ("DEBUG", "INFO")]
    answers = (_ANSWER.fullmatch(each.message) for each in result.logs())
    told += [answer[1] for answer in answers if answer is not None and answer[1]]
    reason = brief(redact("; ".join(dict.fromkeys(told)), pieces(url)), 300)
    return reason or "it failed, and Apprise does not say why"


@cache
def _asset() -> AppriseAsset:
    for name in ("apprise", "requests", "urllib3"):
        logger = logging.getLogger(name)
        logger.propagate = False
        logger.addHandler(logging.NullHandler())  # without any, warnings would go to stderr
    import apprise  # noqa: PLC0415

    logging.getLogger("apprise").setLevel(logging.DEBUG)  # for the reasons of failures
    return apprise.AppriseAsset(
        app_id="runlake",
        app_desc="runlake",
        app_url="",
        image_url_mask="",
        image_url_logo="",
        http_redirects=False,
        storage_mode="memory",
    )
