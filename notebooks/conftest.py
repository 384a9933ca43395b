"""The notebooks as tests: their outputs were made without a bar of progress, which a slow machine would show."""

import os

# For their kernels; the tests in `tests/` take it out of their own surroundings.
os.environ["TQDM_DELAY"] = "3600"
