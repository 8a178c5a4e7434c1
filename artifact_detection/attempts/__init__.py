"""Runs what stands in model-training-attempts/ and compares it."""
