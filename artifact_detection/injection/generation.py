"""What generators and transport leave behind: grids, blobs, bleeding colour, blocks, shifted rows, seams, noise."""

import cv2
import numpy as np

from artifact_detection.injection.scene import Scene, Window, blurred
from artifact_detection.injection.shapes import blob, fill, rectangle


def _region(scene: Scene, weak: float, strong: float) -> tuple[Window, np.ndarray]:
    """A region on or around the face: its window and an alpha (h, w, 1) float32, soft or hard at the edge."""
    radius = scene.level(weak, strong) * scene.unit
    stencil, centre = scene.stencil(), scene.on_face(0.7)
    outline = scene.pick((
        lambda: blob(scene, centre, radius, 0.3, scene.uniform(0.6, 1.6)),
        lambda: blob(scene, centre, radius, 0.8, scene.uniform(0.5, 2)),
        lambda: rectangle(centre, radius * scene.uniform(0.6, 1.4), radius * scene.uniform(0.6, 1.4)),
    ))()  # fmt: skip
    fill(stencil, outline)
    soft = scene.uniform(0.02, 0.3) * radius if scene.chance(0.6) else 0.5
    x, y, w, h = window = scene.window(tuple(np.mean(outline, axis=0)), *(np.ptp(outline, axis=0) / 2 + 2 * soft))
    alpha = blurred(stencil[y : y + h, x : x + w], soft)
    return window, (alpha.astype(np.float32) / 255)[..., None]


def _mix(scene: Scene, window: Window, alpha: np.ndarray | float, layer: np.ndarray) -> None:
    region = scene.view(window)
    region[:] = np.rint(np.clip(region + alpha * (layer - region), 0, 255))


def _pixel(scene: Scene) -> float:
    """The size of a visible pattern's cell: a pixel at 128 px, larger in larger images."""
    return max(1.0, min(scene.width, scene.height) / 160)


def checkerboard(scene: Scene) -> None:
    """The pattern of transposed convolutions: cells alternately lighter and darker, in grey or in colour."""
    window, alpha = _region(scene, 0.4, 0.75)
    _, _, w, h = window
    cell = max(1, round(_pixel(scene) * scene.uniform(1, 2.5)))
    sign = (np.add.outer(np.arange(h) // cell, np.arange(w) // cell) % 2 * 2 - 1).astype(np.float32)[..., None]
    if scene.chance(0.4):  # uneven overlap: lines next to the cells
        sign = 0.5 * sign + 0.5 * (np.arange(w) // cell % 2 * 2 - 1).astype(np.float32)[None, :, None]
    base = scene.view(window).astype(np.float32)
    if cell > 1 and scene.chance(0.5):
        coarse = cv2.resize(base, (max(1, w // cell), max(1, h // cell)), interpolation=cv2.INTER_AREA)
        base = cv2.resize(coarse, (w, h), interpolation=cv2.INTER_NEAREST)
    _mix(scene, window, alpha, base + scene.level(28, 48) * sign * _channels(scene))


def frequency_grid(scene: Scene) -> None:
    """One to three sine gratings over a region: spectral peaks of an upsampler, moiré, hatching."""
    window, alpha = _region(scene, 0.45, 0.9)
    _, _, w, h = window
    pattern = np.zeros((h, w, 1), np.float32)
    for _ in range(int(scene.rng.integers(1, 4))):
        angle = scene.pick((0.0, np.pi / 2, scene.uniform(0, np.pi)))
        period = _pixel(scene) * scene.uniform(2.5, 8)
        pattern[..., 0] += _grating(h, w, angle, period, scene.uniform(0, 6))
    pattern /= max(float(np.abs(pattern).max()), 1e-3)
    _mix(scene, window, alpha, scene.view(window) + scene.level(36, 65) * pattern * _channels(scene))


def _channels(scene: Scene) -> np.ndarray:
    """How strongly a pattern shows in red, green and blue, (3,) in -1 … 1: equally, or as a colour."""
    if scene.chance(0.6):
        return np.ones(3, np.float32)
    weights = scene.rng.uniform(-1, 1, 3).astype(np.float32)
    return weights / max(float(np.abs(weights).max()), 0.1)


def _grating(height: int, width: int, angle: float, period: float, phase: float) -> np.ndarray:
    """sin(ky y + kx x + phase), (height, width) float32, from two outer products instead of as many sines."""
    y = np.float32(2 * np.pi / period * np.sin(angle)) * np.arange(height, dtype=np.float32) + np.float32(phase)
    x = np.float32(2 * np.pi / period * np.cos(angle)) * np.arange(width, dtype=np.float32)
    return np.outer(np.sin(y), np.cos(x)) + np.outer(np.cos(y), np.sin(x))


def droplet(scene: Scene) -> None:
    """StyleGAN's water droplets: smooth bright or dark blobs, with ripples or a lens inside."""
    for _ in range(scene.count(1.5, 4)):
        stencil, centre = scene.stencil(), scene.on_face(1.0)
        radius = scene.level(0.12, 0.2) * scene.unit
        fill(stencil, blob(scene, centre, radius, 0.4, scene.uniform(0.5, 2)))
        colour = scene.against(scene.mean_colour(centre, radius) * scene.uniform(0.8, 1.3), centre, radius, 95)
        ripple, tint = scene.uniform(0, 60), scene.rng.normal(0, 15, 3).astype(np.float32)

        def paint(window, colour=colour, ripple=ripple, tint=tint):
            _, _, w, h = window
            field = scene.smooth_noise(h, w, scene.uniform(2, 5))
            return np.float32(colour) + (ripple * np.sin(4 * field)[..., None] + tint)

        scene.blend(stencil, paint, scene.level(0.65, 0.95, 0.1), soft=radius * scene.uniform(0.08, 0.35))


def colour_bleed(scene: Scene) -> None:
    """Colour that has left its edges: chroma blurred, shifted and strengthened, or a foreign tint that runs."""
    window, alpha = _region(scene, 0.45, 0.9)
    _, _, w, h = window
    luma, *chroma = cv2.split(cv2.cvtColor(scene.view(window), cv2.COLOR_RGB2YCrCb))
    tint = scene.rng.normal(0, 1, 2)
    tint *= scene.level(30, 60) / max(np.linalg.norm(tint), 1e-6)
    shift = scene.rng.normal(0, 0.08, 2) * scene.unit
    run = scene.smooth_noise(h, w, scene.uniform(2, 6)) * 0.6 + 0.6
    gain = scene.level(1.3, 2.2)
    moved = [np.maximum(luma, 45)]  # no colour can be seen in full black
    for plane, extra in zip(chroma, tint, strict=True):
        matrix = np.float32([[1, 0, shift[0]], [0, 1, shift[1]]])
        plane = cv2.warpAffine(plane, matrix, (w, h), borderMode=cv2.BORDER_REFLECT)
        plane = blurred(plane, 0.04 * scene.unit + 0.5).astype(np.float32)
        moved.append(np.uint8(np.clip(128 + gain * (plane - 128) + extra * run, 0, 255)))
    _mix(scene, window, alpha, cv2.cvtColor(cv2.merge(moved), cv2.COLOR_YCrCb2RGB).astype(np.float32))


def block_glitch(scene: Scene) -> None:
    """Blocks of a broken stream: moved, flattened, posterised, of another colour, or full of noise."""
    side = max(4, round(scene.unit * scene.pick((0.06, 0.1, 0.16))))
    centre = np.array(scene.on_face(0.8))
    for _ in range(scene.count(6, 22)):
        place = centre + scene.rng.normal(0, 0.3, 2) * scene.unit
        corner = np.floor(place / side) * side + (side / 2, side / 2)
        window = scene.window(tuple(corner), side / 2 * scene.pick((1, 1, 2, 3)), side / 2)
        _mix(scene, window, 1.0, scene.pick((_moved, _flat, _posterised, _noisy, _swapped))(scene, window))


def _moved(scene: Scene, window: Window) -> np.ndarray:
    x, y, w, h = window
    sx = int(np.clip(x + scene.rng.normal(0, 0.5) * scene.unit, 0, scene.width - w))
    sy = int(np.clip(y + scene.rng.normal(0, 0.5) * scene.unit, 0, scene.height - h))
    return scene.image[sy : sy + h, sx : sx + w].astype(np.float32)


def _flat(scene: Scene, window: Window) -> np.ndarray:
    mean = scene.view(window).reshape(-1, 3).mean(axis=0)
    return np.broadcast_to(np.float32(mean + scene.rng.normal(0, 40, 3)), (window[3], window[2], 3))


def _posterised(scene: Scene, window: Window) -> np.ndarray:
    return np.floor(scene.view(window) / np.float32(64)) * 64 + np.float32(scene.rng.uniform(0, 64, 3))


def _noisy(scene: Scene, window: Window) -> np.ndarray:
    cells = max(2, window[3] // 4), max(2, window[2] // 4), 3
    grid = scene.rng.uniform(0, 255, cells).astype(np.float32) * np.float32(scene.exposure)
    return cv2.resize(grid, window[2:], interpolation=cv2.INTER_NEAREST)


def _swapped(scene: Scene, window: Window) -> np.ndarray:
    order = scene.pick(((1, 2, 0), (2, 0, 1), (2, 1, 0)))
    return 255 * (1 - scene.exposure) + scene.view(window)[..., list(order)].astype(np.float32) * 0.9 + 20


def row_shift(scene: Scene) -> None:
    """Bands of rows (or columns) slid sideways, sometimes each colour plane by itself."""
    turned = scene.chance(0.25)
    canvas = scene.canvas.transpose(1, 0, 2) if turned else scene.canvas
    centre = scene.on_face(0.6)[0 if turned else 1]
    split = scene.chance(0.4)
    for _ in range(scene.count(2, 7)):
        height = max(2, int(scene.level(0.04, 0.1, 0.5) * scene.unit))
        top = int(np.clip(centre + scene.rng.normal(0, 0.25) * scene.unit, 0, max(0, canvas.shape[0] - height)))
        band = canvas[top : top + height]
        shift = round(scene.level(0.1, 0.35) * scene.unit) * scene.pick((-1, 1))
        if split:
            plane = int(scene.rng.integers(3))
            band[..., plane] = np.roll(band[..., plane], shift, axis=1)
        else:
            band[:] = np.roll(band, shift, axis=1)


def patch_seam(scene: Scene) -> None:
    """A tile that does not fit its surroundings: shifted, rescaled, mirrored or of another brightness."""
    for _ in range(scene.count(1, 2)):
        radius = scene.level(0.22, 0.45) * scene.unit
        window = scene.window(scene.on_face(0.8), radius * scene.uniform(0.6, 1.3), radius * scene.uniform(0.6, 1.3))
        x, y, w, h = window
        zoom = scene.pick((1.0, scene.uniform(0.75, 0.92), scene.uniform(1.1, 1.4)))
        shift = scene.rng.normal(0, 1, 2)
        shift *= scene.level(0.06, 0.18) * scene.unit / max(np.linalg.norm(shift), 1e-6)
        matrix = np.float32([[zoom, 0, x + shift[0]], [0, zoom, y + shift[1]]])
        tile = cv2.warpAffine(
            scene.image, matrix, (w, h), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REFLECT
        ).astype(np.float32)
        if scene.chance(0.25):
            tile = tile[:, ::-1]
        gain = scene.pick((scene.uniform(0.7, 0.9), scene.uniform(1.1, 1.35)))
        _mix(scene, window, 1.0, tile * np.float32(gain) + np.float32(scene.rng.normal(0, 4 * scene.severity, 3)))


def noise_patch(scene: Scene) -> None:
    """A part that was never denoised: coarse colour noise over a dimmed or blurred picture."""
    window, alpha = _region(scene, 0.3, 0.6)
    _, _, w, h = window
    cell = _pixel(scene) * scene.uniform(1, 4)
    size = max(2, round(h / cell)), max(2, round(w / cell)), 3
    grid = scene.rng.standard_normal(size, dtype=np.float32)
    if scene.chance(0.4):
        grid[:] = grid.mean(axis=2, keepdims=True) * 1.6
    noise = cv2.resize(grid, (w, h), interpolation=scene.pick((cv2.INTER_NEAREST, cv2.INTER_CUBIC)))
    base = blurred(scene.view(window), 1 + 2 * cell).astype(np.float32)
    _mix(scene, window, alpha * scene.level(0.7, 0.95, 0.05), base + scene.level(30, 65) * noise)


def posterised_patch(scene: Scene) -> None:
    """Flat facets: a region painted in few colours, like an unfinished or over-quantised drawing."""
    window, alpha = _region(scene, 0.4, 0.8)
    levels = scene.pick((3, 4, 5)) if scene.severity < 3 else scene.pick((2, 3))
    step = np.float32(255 / levels)
    region = cv2.medianBlur(scene.view(window), 5).astype(np.float32)
    _mix(scene, window, alpha, np.floor(region / step) * step + np.float32(scene.rng.uniform(0, 0.9, 3)) * step)


def ghost(scene: Scene) -> None:
    """A part seen double: a second, half-transparent copy, moved by more than any blur."""
    window, alpha = _region(scene, 0.6, 1.0)
    x, y, w, h = window
    angle = scene.uniform(0, 2 * np.pi)
    shift = scene.level(0.09, 0.2) * scene.unit * np.array([np.cos(angle), np.sin(angle)])
    matrix = np.float32([[1, 0, x + shift[0]], [0, 1, y + shift[1]]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    copy = cv2.warpAffine(scene.image, matrix, (w, h), flags=flags, borderMode=cv2.BORDER_REFLECT)
    _mix(scene, window, alpha * scene.level(0.4, 0.55, 0.1), copy.astype(np.float32))


PAINTERS = (
    checkerboard, frequency_grid, droplet, colour_bleed, block_glitch, row_shift, patch_seam, noise_patch,
    posterised_patch, ghost,
)  # fmt: skip
KINDS = {paint.__name__: paint for paint in PAINTERS}
