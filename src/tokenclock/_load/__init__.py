"""
Calling a function many times, as users of it would, to measure every call.

No terminal, no files: the plan, the target, the workers and the counts. A command draws what it
sees and keeps what it is given.
"""

from tokenclock._load._engine import Load, Timer
from tokenclock._load._plan import OPEN_LOOP_CONCURRENCY, Job, Plan
from tokenclock._load._tally import START_DELAY, Glance, Tally
from tokenclock._load._target import Target, find_target
from tokenclock._load._workers import LoopLoad, ThreadLoad, load_of

__all__ = [
    "OPEN_LOOP_CONCURRENCY",
    "START_DELAY",
    "Glance",
    "Job",
    "Load",
    "LoopLoad",
    "Plan",
    "Tally",
    "Target",
    "ThreadLoad",
    "Timer",
    "find_target",
    "load_of",
]
