"""Rollouts recorded straight from a trainer: every one of every step, durably, while notebooks read.

A recorder is what trainers take already: a metric function (google/tunix), a wrapper of reward functions (TRL, tunix,
verl), a callback (TRL); any other loop calls `add`. No trainer is imported, and none sees a difference: what goes wrong
while recording is never raised in the training, it is logged once and counted.
"""

from tunix_rt.recording.recorder import Recorder, record
from tunix_rt.recording.trajectories import TrajectoryStore

__all__ = ["Recorder", "TrajectoryStore", "record"]
