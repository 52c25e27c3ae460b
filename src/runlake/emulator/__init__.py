"""The vendors as local servers that can be told to misbehave. Everything here is simulated.

An independent implementation of each vendor's documented wire format: it imports nothing else of runlake, because it
is the judge of the rest.
"""

from runlake.emulator.clock import Clock
from runlake.emulator.faults import REQUEST_FAULTS, ROW_FAULTS, UNDOCUMENTED_WORD, Fault, Faults
from runlake.emulator.server import serve
from runlake.emulator.service import Emulator
from runlake.emulator.vendor import CANARY, Seen, TrueRun
from runlake.emulator.world import World

__all__ = [
    "CANARY",
    "REQUEST_FAULTS",
    "ROW_FAULTS",
    "UNDOCUMENTED_WORD",
    "Clock",
    "Emulator",
    "Fault",
    "Faults",
    "Seen",
    "TrueRun",
    "World",
    "serve",
]
