"""Imported first by the process of which others are forks: what it imports stays.

Nobody looks through it again and again for what is not needed any more: not while more is imported, nor in a
fork, whose memory that would copy.
"""

import gc
import os


def _keep() -> None:
    if not gc.isenabled():  # as in no fork
        gc.freeze()


gc.disable()
os.register_at_fork(before=_keep, after_in_child=gc.enable)
