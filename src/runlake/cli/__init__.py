"""The command line: arguments in, exit code out."""

from __future__ import annotations

import errno
import os
import sys
from contextlib import suppress
from typing import NoReturn

DONE, SOURCE_FAILED, YOUR_MISTAKE, OUR_DATABASE, INTERRUPTED, NO_READER = 0, 1, 2, 3, 130, 141
"""Exit codes. 0 done; 1 a source failed; 2 you wrote something wrong; 3 the database refuses; 130 Ctrl-C."""


def main(arguments: list[str] | None = None) -> NoReturn:
    """Runs the command of this process, or the one given, and ends the process.

    An error that runlake foresees is one line on stderr; a traceback is a bug.
    """
    sys.stdout = sys.stdout or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123 (closed: `>&-`)
    sys.stderr = sys.stderr or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:  # a locale without the characters of a vendor's text must not end a command
            reconfigure(errors="replace")
    try:
        code = _run(arguments)
        sys.stdout.flush()
    except BrokenPipeError:  # `runlake sql … | head` has seen enough
        _silence()
        code = NO_READER
    except OSError as error:
        if error.errno not in _UNWRITABLE:
            raise
        _silence()
        with suppress(OSError):
            sys.stderr.write(f"runlake: the output cannot be written: {error.strerror}\n")
        code = YOUR_MISTAKE
    sys.exit(code)


_UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
"""What `runlake sync >> log` meets on a full disk. The ledger's own errors are StoreErrors by then."""


def _silence() -> None:
    """What is left to be written to stdout goes nowhere: the interpreter flushes it once more at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run(arguments: list[str] | None) -> int:
    import typer  # noqa: PLC0415 (together with what follows: only what a command needs is loaded)

    from runlake.cli import show  # noqa: PLC0415
    from runlake.cli.app import app  # noqa: PLC0415
    from runlake.errors import ConfigError, RunlakeError, StoreError  # noqa: PLC0415

    for argument in sys.argv[1:] if arguments is None else arguments:
        if any("\ud800" <= character <= "\udfff" for character in argument):
            show.problem(f"argument {argument}: it is not UTF-8 text, or this locale knows no UTF-8")
            return YOUR_MISTAKE

    # Newer typers carry a click of their own; its base of usage errors is exported nowhere.
    usage_error: type[Exception] = typer.BadParameter.__bases__[0]
    try:
        code = app(args=arguments, standalone_mode=False, prog_name="runlake") or DONE
        if code == INTERRUPTED:  # newer typers make this of Ctrl-C themselves
            raise KeyboardInterrupt
        return int(code)
    except SystemExit as ended:  # typer ends the process itself when nobody reads its output any more
        if isinstance(ended.__context__, BrokenPipeError):
            raise ended.__context__ from None
        raise
    except (KeyboardInterrupt, typer.Abort):
        show.problem("interrupted; what was read is kept")
        return INTERRUPTED
    except ConfigError as error:
        show.problem(str(error))
        return YOUR_MISTAKE
    except StoreError as error:
        show.problem(str(error))
        return OUR_DATABASE
    except RunlakeError as error:
        show.problem(str(error))
        return SOURCE_FAILED
    except usage_error as error:
        context = getattr(error, "ctx", None)
        about = f" (see {context.command_path} --help)" if context is not None else ""
        message = str(getattr(error, "format_message", error.__str__)())
        show.problem(f"{message[:1].lower()}{message[1:].rstrip('.')}{about}")
        return YOUR_MISTAKE
