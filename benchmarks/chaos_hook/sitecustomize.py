"""What Python reads before a daemon of the chaos run begins: whether something was laid out for it, once.

    $QIANZHI_CHAOS/NAME    lines VARIABLE=value: a crash point to be armed, a library that fakes the clock

The file gets another name first, so that the daemon's next start is an ordinary one.  A library must be there
before the program is: then the same program is executed again, in the same process.
"""

import os
import sys

folder, name = os.environ.get("QIANZHI_CHAOS", ""), os.environ.get("SUPERVISOR_PROCESS_NAME", "")
path = os.path.join(folder, name)
if folder and name and os.path.exists(path):
    with open(path, encoding="utf-8") as file:
        given = dict(line.rstrip("\n").split("=", 1) for line in file if "=" in line)
    os.rename(path, f"{path}.{os.getpid()}")  # whoever laid it out sees which process took it
    os.environ.update(given)
    if "LD_PRELOAD" in given:
        os.execv(sys.executable, sys.orig_argv)  # noqa: S606  ourselves
