"""Bytes -> pixels -> measures: decoding, faces, transforms, re-encoding, duplicates."""
