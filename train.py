"""From a shop's logs to a trained, judged slate policy: the main job.

`python train.py --help` lists every option; the stages are in `pipeline/`.
"""

from __future__ import annotations

import os
import sys

# The relevance model's weights come with a package: nothing is to be asked of a hub unless the user says so.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# Idle OpenMP threads sleep instead of spinning: numba's and torch's teams take turns on the same cores.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

from pipeline.main import main

if __name__ == "__main__":
    sys.exit(main())
