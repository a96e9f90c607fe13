"""Grids of pictures: samples by class, originals above reconstructions, one style as many classes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image, ImageDraw, ImageFont

from training.plots.figure import INK, PAPER, image_to_png

_GAP = 2


def image_grid(
    images: ArrayLike, row_names: Sequence[str] = (), levels: int = 256, column_names: Sequence[str] = ()
) -> bytes:
    """Pictures (rows, columns, C, H, W) of values 0..levels-1, C = 1 or 3, enlarged to at least 28 pixels.

    Pixels stay square. Names stand left of the rows and above the columns.
    """
    values = np.asarray(images, np.float64)
    if values.ndim != 5 or values.shape[2] not in (1, 3):
        raise ValueError(f"images: expected (rows, columns, 1 or 3, H, W), got {values.shape}")
    rows, columns, channels, height, width = values.shape
    scale = max(1, -(-28 // min(height, width)))
    pixels = np.clip(np.rint(values * (255.0 / (levels - 1))), 0, 255).astype(np.uint8)
    pixels = pixels.repeat(scale, axis=3).repeat(scale, axis=4)
    height, width = height * scale, width * scale

    font = ImageFont.load_default(12)
    left = max((int(font.getlength(name)) for name in row_names), default=-8) + 8
    top = 18 if column_names else 0
    size = (left + columns * (width + _GAP) - _GAP, top + rows * (height + _GAP) - _GAP)
    grey = channels == 1
    sheet = Image.new("L" if grey else "RGB", size, 255 if grey else PAPER)
    draw = ImageDraw.Draw(sheet)
    ink = 27 if grey else INK
    for row in range(rows):
        y = top + row * (height + _GAP)
        if row_names:
            draw.text((left - 6, y + height / 2), row_names[row], fill=ink, font=font, anchor="rm")
        for column in range(columns):
            tile = pixels[row, column, 0] if grey else pixels[row, column].transpose(1, 2, 0)
            sheet.paste(Image.fromarray(tile), (left + column * (width + _GAP), y))
    for column, name in enumerate(column_names):
        draw.text((left + column * (width + _GAP) + width / 2, top / 2), name, fill=ink, font=font, anchor="mm")
    if grey:
        # 32 greys are more than a thumbnail shows, and halve the file.
        sheet = sheet.point([round(round(v / 255 * 31) / 31 * 255) for v in range(256)]).convert("P")
    return image_to_png(sheet, None if grey else 128)
