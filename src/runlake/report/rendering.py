"""A report, made in a process of its own: drawing charts takes the interpreter for seconds, and polling would wait.

The process has none of our environment, in which secrets may be, and its memory goes with it.
"""

from __future__ import annotations

import asyncio
import pickle
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runlake.config import Config
from runlake.errors import DeliveryError
from runlake.http import brief
from runlake.report.formats import Mail
from runlake.report.period import Period
from runlake.report.scope import Scope

DEADLINE_S = 120.0

_CHILD = "runlake.report.rendering_child"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """A report as it is sent: `brief` for chats, `page` for a folder, `data` for programs."""

    subject: str
    brief: str
    mail: Mail
    page: str
    data: Any


@dataclass(frozen=True, slots=True)
class Asked:
    """What the process is told, on its stdin. It answers with a Rendered on its stdout, or ends with another code than
    0 and says why on the last line of its stderr. Both ends are ours, which is why they may speak pickle."""

    database: Path
    config: Config
    period: Period
    scope: Scope


async def render(asked: Asked) -> Rendered:
    """Raises DeliveryError, worth another try: it could not be made, or not in time. The process is gone when this
    returns, raises or is cancelled."""
    try:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-m", _CHILD),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={},
            cwd="/",
            start_new_session=True,
        )
    except OSError as error:
        raise DeliveryError(f"no process could be had for it: {error.strerror or error}", again=True) from None
    try:
        async with asyncio.timeout(DEADLINE_S):
            answer, told = await process.communicate(pickle.dumps(asked))
    except TimeoutError:
        raise DeliveryError(f"it was not made within {DEADLINE_S:g} s", again=True) from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        last = told.decode(errors="replace").rstrip().rpartition("\n")[2]
        raise DeliveryError(f"it could not be made: {brief(last) or f'exit code {process.returncode}'}", again=True)
    rendered = pickle.loads(answer)  # noqa: S301 (see Asked)
    assert isinstance(rendered, Rendered)
    return rendered
