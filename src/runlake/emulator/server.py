"""The emulator on a real socket, in a thread of its own."""

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from runlake.emulator.service import Emulator


@contextmanager
def serve(emulator: Emulator, port: int = 0) -> Iterator[str]:
    """Serve on 127.0.0.1 until the block ends; yields ``http://127.0.0.1:PORT``. Port 0 takes a free one."""
    config = uvicorn.Config(
        emulator,
        log_config=None,
        log_level=60,  # above CRITICAL: a body cut on purpose is not news
        access_log=False,
        lifespan="off",
        date_header=False,  # the vendors tell their own time
        server_header=False,
        timeout_graceful_shutdown=1,
        ws="none",
    )
    server = uvicorn.Server(config)
    # asyncio switches Nagle's algorithm off only where the protocol is spelled out; with it, an answer takes 40 ms.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("127.0.0.1", port))
        listening.listen(128)
        ready, loop = threading.Event(), asyncio.new_event_loop()

        async def main() -> None:
            serving = asyncio.ensure_future(server.serve(sockets=[listening]))
            # The socket already listens, so clients may connect now: the kernel queues them until uvicorn accepts.
            ready.set()
            await serving

        def run() -> None:
            with asyncio.Runner(loop_factory=lambda: loop) as runner:
                runner.run(main())

        thread = threading.Thread(target=run, name="emulator", daemon=True)
        thread.start()
        ready.wait()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            loop.call_soon_threadsafe(emulator.release)
            thread.join(timeout=5)
