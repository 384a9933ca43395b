"""What Inspect imports, by an entry point, wherever it is installed beside this package: cheap, and mostly nothing.

Where the variable TUNIX_RT_INSPECT is the path of a store, or 1 for the default one, each finished sample of an
evaluation is added to it. What fails here is logged by Inspect, and the evaluation runs.
"""

import os

VARIABLE = "TUNIX_RT_INSPECT"

if _store := os.environ.get(VARIABLE):
    from tunix_rt.recording.inspect_samples import register

    register(_store)
