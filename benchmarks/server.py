"""The vendor as a local server that costs next to nothing: rows rendered beforehand, a bare asyncio protocol.

`python -m benchmarks.server RUNS` prints its port once it listens. `/before/...` and `/after/...` are the account at
the two instants; `/cpu` answers the CPU seconds spent so far, so that they can be told apart from the client's.
"""

from __future__ import annotations

import asyncio
import re
import sys
import time
from urllib.parse import parse_qs, urlsplit

from benchmarks.vendor_world import PROJECT, World

_LIST = re.compile(rf"/(before|after)/projects/{PROJECT}/pipeline-runs/([0-9a-f-]*)/?$")


class Rows:
    """Both states, newest last; `after` holds only what differs."""

    def __init__(self, world: World) -> None:
        self._world = world
        before = [world.row(number, after=False) for number in world.numbers(after=False)]
        after = list(before)
        for number in world.moved():
            after[number] = world.row(number, after=True)
        after += [world.row(number, after=True) for number in range(world.runs, len(world.numbers(after=True)))]
        self._rows = {"before": before, "after": after}
        self._numbers = {world.facts(n, after=True).run_id: n for n in world.numbers(after=True)}

    def page(self, state: str, limit: int, offset: int) -> bytes:
        rows = self._rows[state]
        end = max(0, len(rows) - offset)
        shown = rows[max(0, end - limit) : end][::-1]
        more = f'"http://vendor.invalid/?offset={offset + limit}"' if end > limit else "null"
        head = f'{{"count":{len(rows)},"next":{more},"previous":null,"results":['.encode()
        return head + b",".join(shown) + b"]}"

    def one(self, state: str, run_id: str) -> bytes | None:
        number = self._numbers.get(run_id)
        if number is None or number >= len(self._rows[state]):
            return None
        return self._world.row(number, after=state == "after", alone=True)


class Vendor(asyncio.Protocol):
    """Enough of HTTP/1.1 for a client that sends GET requests one after another on a connection."""

    def __init__(self, rows: Rows) -> None:
        self._rows, self._seen = rows, b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._seen += data
        while b"\r\n\r\n" in self._seen:
            head, self._seen = self._seen.split(b"\r\n\r\n", 1)
            body = self._answer(head.split(b" ", 2)[1].decode("ascii"))
            status = b"404 Not Found" if body is None else b"200 OK"
            body = body or b'{"error":"Pipeline run not found"}'
            assert self._transport is not None
            self._transport.write(
                b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % (status, len(body))
            )
            self._transport.write(body)

    def _answer(self, target: str) -> bytes | None:
        url = urlsplit(target)
        if url.path == "/cpu":
            return str(time.process_time()).encode()
        found = _LIST.match(url.path)
        if not found:
            return b"[]" if url.path.endswith("/extraction-flows/") else None
        state, run_id = found.groups()
        if run_id:
            return self._rows.one(state, run_id)
        query = parse_qs(url.query)
        return self._rows.page(state, min(1000, int(query["limit"][0])), int(query["offset"][0]))


async def serve(runs: int) -> None:
    rows = Rows(World(runs))
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Vendor(rows), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)  # until whoever started it is gone


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
