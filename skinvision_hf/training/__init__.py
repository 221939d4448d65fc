"""Two-phase training with Accelerate: set-up, the loop, checkpoints and losses."""
