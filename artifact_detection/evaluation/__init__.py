"""How good is a detector: metrics with intervals, thresholds, comparisons, stability."""
