"""Runs what stands in model-training-attempts/ and compares it: one file a room, in the order data flows."""
