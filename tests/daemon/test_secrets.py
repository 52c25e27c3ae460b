"""A secret is in no byte that the daemon writes or answers, whoever sends it back."""

from __future__ import annotations

import json
from collections.abc import Callable
from urllib.parse import quote

from starlette.types import Receive, Scope, Send

from runlake.store import published_path

from .conftest import Account, Running, configure, on_stage, until

Begin = Callable[..., Running]
CANARY = 'CANARY-7f3a"/+secret'
PING, SQL, HOOK = "CANARY-ping", "CANARY-sql", "CANARY-hook"


class Parrot:
    """Refuses, and says what it was sent, in every place that is read."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        sent = {key.decode(): value.decode() for key, value in scope["headers"]}
        token = sent["authorization"].removeprefix("Bearer ")
        body = json.dumps({"detail": f"no such token: {token} {quote(token, safe='')}", "id": token}).encode()
        kind = (b"content-type", b"application/json")
        await send({"type": "http.response.start", "status": 401, "headers": [kind, (b"x-id", token.encode())]})
        await send({"type": "http.response.body", "body": body})


def test_no_secret_is_written_or_told(account: Account, begin: Begin) -> None:
    folder = account.folder
    with on_stage(Parrot()) as url:
        hook = 'every = "1s"\nhook = { secret = { env = "HOOK" } }'
        from_env = account.named("from-env", "esper", hook, base_url=url)
        from_env = from_env.replace(f'{{ file = "{folder}/esper-token" }}', '{ env = "CANARY" }')
        from_file = account.named("from-file", "esper", base_url=url)
        configure(
            folder,
            account.table("clerk"),
            from_env,
            from_file.replace("esper-token", "esper-canary"),
            daemon='publish_every = "1s"\nsql_token = { env = "SQL" }\nping_url = { env = "PING" }',
        )
        (folder / "esper-canary").write_text(CANARY)
        ping = f"{url}/{PING}"
        daemon = begin(env={"CANARY": CANARY, "PING": ping, "SQL": SQL, "HOOK": HOOK})
        for name in ("from-env", "from-file"):
            told = daemon.wait_for("source.down", source=name)
            assert "no such token: [secret] [secret]" in told["error"]
        daemon.wait_for("source.synced", source="clerk")
        until(published_path(daemon.database).exists, "copy")
        answers = [daemon.get(path).text for path in ("/metrics", "/healthz", "/readyz", "/")]
        answers += [daemon.control("GET", "/status").text, daemon.control("POST", "/reload").text]
        answers += [daemon.control("POST", "/sync", json={"source": name}).text for name in ("from-env", "from-file")]
        written = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}  # with the WAL
        assert daemon.end()[0] == 0
    written |= {f"{path.name} after": path.read_bytes() for path in folder.iterdir() if path.is_file()}
    for known in ("esper-canary", "esper-canary after"):
        del written[known]
    secrets = [CANARY, quote(CANARY, safe=""), json.dumps(CANARY)[1:-1], "CANARY-"]
    for secret in secrets:
        assert [name for name, content in written.items() if secret.encode() in content] == []
        assert secret not in daemon.text + "".join(answers)
