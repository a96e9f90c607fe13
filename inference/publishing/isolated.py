"""Where a trial's process begins: it leaves the network, then tries out what was given.

Run as a file, not as a module: only a process of one thread may leave, and the package's libraries start others when
they are imported. The network is left by a namespace of its own, in a user namespace of its own (Linux; no privilege is
needed, but a container or a distribution may forbid it); where that cannot be, the trial goes on and says so.
"""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

_NEW_USER, _NEW_NETWORK = 0x10000000, 0x40000000  # CLONE_NEWUSER and CLONE_NEWNET of <sched.h>


def leave_network() -> str | None:
    """None if this process has from now on a network of its own that leads nowhere; else why it has not."""
    if sys.platform != "linux":
        return f"{sys.platform} has no network namespaces"
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "unshare"):
        return "the C library has no unshare"
    for flags in (_NEW_USER | _NEW_NETWORK, _NEW_NETWORK):
        if libc.unshare(flags) == 0:
            return None
    return os.strerror(ctypes.get_errno())


if __name__ == "__main__":
    refusal = leave_network()
    from inference.publishing.trial import main

    sys.exit(main(Path(sys.argv[1]), refusal))
