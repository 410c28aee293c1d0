"""What the runner calls, in its order: arms, answering, scoring, estimating, rendering. No stage imports another."""
