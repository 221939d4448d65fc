"""The tone of the skin around a lesion, as the individual typology angle."""

import numpy as np
from PIL import Image

from skinvision_hf.data.images import to_rgb

SIZE = (60, 45)
CENTRE = 0.7
"""Share of width and height of the ellipse in the middle of an image that is taken for the lesion."""

BLACK = 20.0
"""Largest L* of a border or a dark corner."""

# From linear RGB to Y and Z of CIE XYZ, each 1 for the white of sRGB (D65).
LUMINANCE, BLUE = np.array([0.2126, 0.7152, 0.0722]), np.array([0.0193, 0.1192, 0.9505]) / 1.089


def typology_angle(image: Image.Image) -> float | None:
    """Estimate the individual typology angle of the skin outside of the middle of an image (Chardon et al. 1991).

    It is arctan((L* - 50) / b*) of the median skin, in degrees from -90 (dark) to 90 (light). The light of the
    dermatoscope and colour processing change it, so it says little about one image.

    Returns:
        The angle; None without skin, or where the skin is unnaturally blue (b* of 0 or less), so the colours are not
        those of the skin.
    """
    values = np.asarray(to_rgb(image).resize(SIZE, Image.Resampling.BOX)) / 255.0
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    y, z = (np.where(t > 0.008856, np.cbrt(t), 7.787 * t + 16 / 116) for t in (linear @ LUMINANCE, linear @ BLUE))
    lightness, yellowness = 116 * y - 16, 200 * (y - z)
    rows, columns = (np.linspace(-1, 1, side) for side in lightness.shape)
    skin = (np.hypot(rows[:, None], columns) > CENTRE) & (lightness > BLACK)
    if not skin.any() or (yellow := np.median(yellowness[skin])) <= 0:
        return None
    return float(np.degrees(np.arctan((np.median(lightness[skin]) - 50) / yellow)))
