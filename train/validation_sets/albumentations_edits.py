"""Edits by albumentations, as a table of its transforms and their settings."""

import cv2

from .edit import Chance, Edit, Pixels
from .libraries import library

_BORDERS = (cv2.BORDER_CONSTANT, cv2.BORDER_REPLICATE, cv2.BORDER_REFLECT_101)


def transform(name: str, **settings) -> Edit:
    """The transform of that name; what it draws by itself comes from the chance's generator."""

    def edit(pixels: Pixels, chance: Chance) -> Pixels:
        albumentations = library("albumentations")
        always = getattr(albumentations, name)(p=1.0, **settings)
        return albumentations.Compose([always], seed=chance.whole(0, 2**31 - 1))(image=pixels)["image"]

    return edit


def turned(name: str, **settings) -> Edit:
    """A transform that uncovers a border, which is filled with a colour or continued."""

    def edit(pixels: Pixels, chance: Chance) -> Pixels:
        border = chance.one_of(_BORDERS)
        return transform(name, border_mode=border, fill=chance.colour(), **settings)(pixels, chance)

    return edit


def mosaic(pixels: Pixels, chance: Chance) -> Pixels:
    """A collage of two to four photographs, this one among them."""
    rows, columns = chance.one_of(((1, 2), (2, 1), (2, 2)))
    cell = chance.whole(160, 256)
    albumentations = library("albumentations")
    others = [{"image": chance.other()} for _ in range(rows * columns - 1)]
    collage = albumentations.Mosaic(
        grid_yx=(rows, columns),
        target_size=(cell * rows, cell * columns),
        cell_shape=(cell, cell),
        center_range=(0.45, 0.55),
        fit_mode="cover",
        p=1.0,
    )
    seed = chance.whole(0, 2**31 - 1)
    return albumentations.Compose([collage], seed=seed)(image=pixels, mosaic_metadata=others)["image"]


def sun_flare(pixels: Pixels, chance: Chance) -> Pixels:
    radius = max(8, min(pixels.shape[:2]) // 2)
    return transform("RandomSunFlare", src_radius=radius, num_flare_circles_range=(4, 9))(pixels, chance)


def holes(pixels: Pixels, chance: Chance) -> Pixels:
    fill = chance.one_of((0, "random_uniform", chance.colour()))
    sides = {"hole_height_range": (0.1, 0.35), "hole_width_range": (0.1, 0.35)}
    return transform("CoarseDropout", num_holes_range=(2, 6), fill=fill, **sides)(pixels, chance)


COLOUR = {
    "ColorJitter": transform(
        "ColorJitter", brightness=(0.5, 1.6), contrast=(0.5, 1.6), saturation=(0.2, 2.0), hue=(-0.3, 0.3)
    ),
    "HueSaturationValue": transform("HueSaturationValue", hue_shift_limit=60, sat_shift_limit=80, val_shift_limit=50),
    "RGBShift": transform("RGBShift", r_shift_limit=70, g_shift_limit=70, b_shift_limit=70),
    "PlanckianJitter": transform("PlanckianJitter"),
    "RandomToneCurve": transform("RandomToneCurve", scale=0.4, per_channel=True),
    "RandomGamma": transform("RandomGamma", gamma_limit=(40, 250)),
    "RandomBrightnessContrast": transform("RandomBrightnessContrast", brightness_limit=0.45, contrast_limit=0.5),
    "ChannelShuffle": transform("ChannelShuffle"),
    "ChannelDropout": transform("ChannelDropout", channel_drop_range=(1, 2)),
    "InvertImg": transform("InvertImg"),
    "HEStain": transform("HEStain"),
}
GREY = {
    **{f"ToGray-{method}": transform("ToGray", method=method) for method in ("weighted_average", "max", "pca")},
    "ToSepia": transform("ToSepia"),
}
TONES = {
    "Posterize": transform("Posterize", num_bits=(1, 3)),
    "Solarize": transform("Solarize", threshold_range=(0.25, 0.75)),
    "Equalize": transform("Equalize"),
    "CLAHE": transform("CLAHE", clip_limit=(4.0, 12.0)),
    "AutoContrast": transform("AutoContrast", cutoff=8),
}
BLUR = {
    "GaussianBlur": transform("GaussianBlur", sigma_limit=(1.5, 5.0)),
    "MotionBlur": transform("MotionBlur", blur_limit=(9, 25)),
    "Defocus": transform("Defocus", radius=(3, 7)),
    "GlassBlur": transform("GlassBlur", max_delta=3, iterations=1),
    "ZoomBlur": transform("ZoomBlur", max_factor=(1.1, 1.3)),
    "MedianBlur": transform("MedianBlur", blur_limit=(5, 11)),
}
NOISE = {
    "GaussNoise": transform("GaussNoise", std_range=(0.1, 0.35)),
    "ISONoise": transform("ISONoise", color_shift=(0.05, 0.2), intensity=(0.4, 1.0)),
    "MultiplicativeNoise": transform("MultiplicativeNoise", multiplier=(0.5, 1.5), per_channel=True, elementwise=True),
    "ShotNoise": transform("ShotNoise", scale_range=(0.1, 0.4)),
    "SaltAndPepper": transform("SaltAndPepper", amount=(0.03, 0.2)),
    "PixelDropout": transform("PixelDropout", dropout_prob=0.15),
}
COMPRESSION = {
    "JPEG": transform("ImageCompression", compression_type="jpeg", quality_range=(3, 15)),
    "WebP": transform("ImageCompression", compression_type="webp", quality_range=(1, 10)),
    "Downscale": transform("Downscale", scale_range=(0.15, 0.4)),
}
SHARPEN = {
    "Sharpen": transform("Sharpen", alpha=(0.5, 1.0)),
    "Emboss": transform("Emboss", alpha=(0.4, 0.9), strength=(0.5, 1.5)),
    "UnsharpMask": transform("UnsharpMask", blur_limit=(5, 11), alpha=(0.5, 1.0)),
    "RingingOvershoot": transform("RingingOvershoot"),
    "ChromaticAberration": transform(
        "ChromaticAberration", primary_distortion_limit=0.15, secondary_distortion_limit=0.15
    ),
}
ROTATION = {
    "Rotate": turned("Rotate", limit=(-60, 60)),
    "SafeRotate": turned("SafeRotate", limit=(-180, 180)),
    "RandomRotate90": transform("RandomRotate90"),
    "D4": transform("D4"),
}
PERSPECTIVE = {
    "Perspective": turned("Perspective", scale=(0.08, 0.2)),
    "Affine": turned("Affine", scale=(0.5, 1.3), shear=(-25, 25), rotate=(-20, 20), translate_percent=(-0.15, 0.15)),
}
WARP = {
    "ElasticTransform": transform("ElasticTransform", alpha=120, sigma=8),
    "GridDistortion": transform("GridDistortion", distort_limit=0.5),
    "OpticalDistortion": transform("OpticalDistortion", distort_limit=0.6),
    "ThinPlateSpline": transform("ThinPlateSpline", scale_range=(0.1, 0.25)),
}
WEATHER = {
    "RandomRain": transform("RandomRain", rain_type="heavy"),
    "RandomFog": transform("RandomFog", fog_coef_range=(0.4, 0.9)),
    "RandomSnow": transform("RandomSnow", snow_point_range=(0.2, 0.4)),
    "RandomSunFlare": sun_flare,
    "Spatter": transform("Spatter"),
    "Spatter-mud": transform("Spatter", mode="mud"),
}
LIGHT = {
    "RandomShadow": transform(
        "RandomShadow", shadow_roi=(0, 0, 1, 1), num_shadows_limit=(1, 3), shadow_intensity_range=(0.4, 0.8)
    ),
    "PlasmaShadow": transform("PlasmaShadow", shadow_intensity_range=(0.4, 0.9)),
    "PlasmaBrightnessContrast": transform(
        "PlasmaBrightnessContrast", brightness_range=(-0.6, 0.6), contrast_range=(-0.6, 0.6)
    ),
    "Illumination": transform("Illumination", intensity_range=(0.15, 0.2)),
}
DROPOUT = {
    "CoarseDropout": holes,
    "GridDropout": transform("GridDropout", ratio=0.45),
    "XYMasking": transform(
        "XYMasking", num_masks_x=(1, 4), num_masks_y=(1, 4), mask_x_length=(8, 24), mask_y_length=(8, 24)
    ),
    "RandomGridShuffle": transform("RandomGridShuffle", grid=(2, 2)),
}
