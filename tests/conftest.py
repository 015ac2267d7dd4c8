"""What several test folders share."""

import os

# scipy's linear algebra starts a thread for each core when it is imported, and no test forks beside threads.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

pytest_plugins = ["pytester", "support.github_step"]
