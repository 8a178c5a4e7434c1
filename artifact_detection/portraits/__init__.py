"""Draws clean portraits of people who do not exist: shaded, anti-aliased, in several scenes, with no download.

`draw_portrait` is all that other code needs; `python -m artifact_detection.portraits` writes a labelled dataset.
"""

from artifact_detection.portraits.drawing import draw_portrait

__all__ = ["draw_portrait"]
