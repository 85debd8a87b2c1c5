# SPDX-License-Identifier: Apache-2.0
"""Run a command and measure it."""
import os
import subprocess
import tempfile
import threading


class Done:
    """status (128 + signal if killed), out, err, seconds of processor time, megabytes of memory at most."""

    def __init__(self, words, folder, environment, limit=120):
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            process = subprocess.Popen(words, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=out,
                                       stderr=err)
            watch = threading.Timer(limit, process.kill)
            watch.start()
            _, status, usage = os.wait4(process.pid, 0)
            watch.cancel()
            process.returncode = status  # it has been waited for
            out.seek(0)
            err.seek(0)
            self.out, self.err = out.read().decode(errors="replace"), err.read().decode(errors="replace")
        self.status = os.WEXITSTATUS(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)
        self.seconds = usage.ru_utime + usage.ru_stime
        self.megabytes = usage.ru_maxrss / 1024
