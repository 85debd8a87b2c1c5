# SPDX-License-Identifier: Apache-2.0
"""Run a command on a terminal of so many columns; what it prints goes to standard output, a line per carriage return."""
import fcntl
import os
import pty
import struct
import sys
import termios

pid, terminal = pty.fork()
if pid == 0:
    fcntl.ioctl(2, termios.TIOCSWINSZ, struct.pack("HHHH", 25, int(sys.argv[1]), 0, 0))
    os.execvp(sys.argv[2], sys.argv[2:])
printed = b""
while True:
    try:
        got = os.read(terminal, 65536)
    except OSError:  # the other end is closed
        break
    if not got:
        break
    printed += got
sys.stdout.buffer.write(printed.replace(b"\r\n", b"\n").replace(b"\r", b"\n"))
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
