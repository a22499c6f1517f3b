"""Imported first by the process of which others are forks: what it imports stays.

Nobody looks through it again and again for what is not needed any more: not while more is imported, nor in a
fork, whose memory that would copy.
"""

import gc
import os

gc.disable()
os.register_at_fork(before=lambda: gc.isenabled() or gc.freeze(), after_in_child=gc.enable)
