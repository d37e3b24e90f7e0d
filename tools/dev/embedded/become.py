"""Replaces itself by another program, under another account and tied to its parent's life.

Run as a script by `tools.dev.embedded.services`: what is done here between fork and exec would not
be safe in a process that has threads. Arguments: user id, group id, 1 to keep file access, 1 to die
with the parent, then the command.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
PR_SET_SECUREBITS = 28
SECBIT_NO_SETUID_FIXUP = 1 << 2
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2
CAP_DAC_OVERRIDE = 1
CAPABILITY_VERSION_3 = 0x20080522


def become(libc: ctypes.CDLL | None, uid: int, gid: int, *, keep_file_access: bool) -> None:
    """Give up root for `uid`.

    With `keep_file_access` (Linux) it may still pass folders closed to it, such as /root; to open
    those folders to everybody instead would outlive the server.
    """
    keep = libc if keep_file_access else None
    if keep:
        # Keeps capabilities over setuid, and lets access(2), which initdb asks, honour them.
        keep.prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP, 0, 0, 0)
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)
    if keep:
        header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
        bit = 1 << CAP_DAC_OVERRIDE
        keep.capset(header, (ctypes.c_uint32 * 6)(bit, bit, bit, 0, 0, 0))
        keep.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_DAC_OVERRIDE, 0, 0)


def main(
    uid: int, gid: int, keep_file_access: bool, die_with_parent: bool, command: list[str]
) -> None:
    """Does not return."""
    parent = os.getppid()
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    if uid != os.geteuid():
        become(libc, uid, gid, keep_file_access=keep_file_access)
    if libc and die_with_parent:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGINT, 0, 0, 0)
        if os.getppid() != parent:  # it died before the kernel knew our wish
            sys.exit(1)
    os.execv(command[0], command)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "1", sys.argv[4] == "1", sys.argv[5:])
