"""``python -m runlake.emulator``: the six vendors on one port, for a demo or for curl."""

import argparse
import sys
import threading
from datetime import timedelta

from runlake.emulator.clock import Clock
from runlake.emulator.server import serve
from runlake.emulator.service import Emulator


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m runlake.emulator", description=__doc__)
    parser.add_argument("--port", type=int, default=8400, help="0 takes a free port (default 8400)")
    parser.add_argument("--seed", type=int, default=0, help="another seed, another history (default 0)")
    parser.add_argument("--live", action="store_true", help="let time pass; without it the clock stands still")
    parser.add_argument("--speed", type=float, default=1.0, help="with --live: emulated seconds per second")
    asked = parser.parse_args()
    clock = Clock.live(speed=asked.speed) if asked.live else Clock()
    emulator = Emulator(asked.seed, clock, start=clock.now() - timedelta(days=30))
    with serve(emulator, asked.port) as base_url:
        say = sys.stdout.write
        say("Everything served here is simulated: no vendor is contacted, no run is real.\n")
        for name in emulator.vendors:
            shown = {key: value for key, value in emulator.settings(name, base_url).items() if key != "tasks"}
            say(f"\n{name}\n")
            for key, value in shown.items():
                say(f"  {key:<11} {', '.join(value) if isinstance(value, list) else value}\n")
        say("\nStop with Ctrl-C.\n")
        sys.stdout.flush()
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            say("\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
