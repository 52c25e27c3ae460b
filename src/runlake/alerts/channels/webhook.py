"""A JSON body by POST, signed by the convention of Standard Webhooks 1.0 (standardwebhooks.com), for which there are
libraries in most languages.

Headers:

- `webhook-id`: the message's id, the same however often it has to be sent; who saw it before ignores it.
- `webhook-timestamp`: when it is sent this time, in Unix seconds; who gets one of long ago refuses it as a replay.
- `webhook-signature`: where there is a secret, `v1,` and the Base64 of HMAC-SHA256 over `{id}.{timestamp}.{body}`. Its
  key is what follows `whsec_`, decoded from Base64; a secret that does not begin so is the key as it stands.

Body, which only ever gains keys; instants are ISO 8601 in UTC, and vendors' text is as it came, except in `title` and
`text`:

- `version`: 1.
- `event`: open, repeat, resolve, digest, test or report.
- `message_id`, as `webhook-id`; `thread`: the `message_id` of the message that first told of these alerts.
- `severity`: of the most severe one; `at`: when the message was made.
- `whole`: of a resolve, whether all alerts of that first message are over with this one.
- `again`: whether it may have arrived before.
- `title`, `text`: as people read it.
- `alerts`: each with all that is known of it: the columns of the view `alerts`, and `run_id`, `run_url`,
  `vendor_status`, `failed_step`, `error`, `last_success_at`, `ended_lately` and `failed_lately` (runs of the last seven
  days) and `observed_through` (up to when we have seen); in a digest also `held`, what holds it back from being told.
- In a digest, `since`, and how many `opened` and `resolved` since then.
- A report has none of what is about alerts, but `name`, and as `report` what `runlake report --format json` prints.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from typing import Any

from runlake.config.channels import Webhook
from runlake.errors import DeliveryError
from runlake.http import is_web, post
from runlake.secret import Secret


async def send(channel: Webhook, message_id: str, data: Mapping[str, Any]) -> None:
    url, key = target(channel)
    body = json.dumps(data).encode()
    headers = {
        "Content-Type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": str(int(time.time())),
    }
    if key is not None:
        signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        digest = hmac.new(key, signed, hashlib.sha256).digest()
        headers["webhook-signature"] = f"v1,{base64.b64encode(digest).decode()}"
    await post(url, body, headers, [channel.secret.reveal()] if channel.secret is not None else [])


def target(channel: Webhook) -> tuple[str, bytes | None]:
    """The address and the key to sign with. Raises ConfigError and DeliveryError."""
    url = channel.url.reveal()
    if not is_web(url):
        raise DeliveryError(f"the address at {channel.url.place} does not begin with https:// and a host", again=False)
    return url, None if channel.secret is None else _key(channel.secret)


def _key(secret: Secret) -> bytes:
    written = secret.reveal()
    if not written.startswith("whsec_"):
        return written.encode()
    try:
        key = base64.b64decode(written.removeprefix("whsec_"), validate=True)
    except binascii.Error:
        key = b""
    if not key:
        raise DeliveryError(f"what follows whsec_ in {secret.place} is not Base64", again=False)
    return key
