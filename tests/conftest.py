"""What several test folders share."""

import os
import signal

# scipy's linear algebra starts a thread for each core when it is imported, and no test forks beside threads.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# A shell ignores it for what it starts in the background, and so would every process that a test interrupts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

pytest_plugins = ["pytester", "support.github_step"]
