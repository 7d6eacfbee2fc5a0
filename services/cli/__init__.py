"""The command ``runyard``."""

import os

# Its own lines on standard error would break up ours, JSON above all. gRPC reads this once, when it
# is imported.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
