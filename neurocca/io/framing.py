"""What part of the picture is used and how large: as ffmpeg filters, so that it happens in the decoder."""

from dataclasses import dataclass
from fractions import Fraction

from neurocca.errors import UsageError
from neurocca.io.movie_header import MovieInfo

Crop = tuple[int, int, int, int]
"""Part of the picture: (width, height, x, y) in pixels of the film as shown, x and y from its upper left corner."""

# Kernels as in Pillow and torchvision, whose bicubic is Catmull and Rom's: ffmpeg's own is sharper. Without
# full_chroma_int colours have half the resolution even when the picture is made smaller; without accurate_rnd they are
# up to twice as far off. Both cost next to nothing beside decoding.
_KERNELS = {"bicubic": "flags=bicubic+{0}:param0=0:param1=0.5", "bilinear": "flags=bilinear+{0}"}
_EXACT = "accurate_rnd+full_chroma_int"

_HIGH_DEFINITION = (1280, 577)  # from this width or height on, untagged films are taken for BT.709, as players do


@dataclass(frozen=True)
class Framing:
    """How each picture is cut and scaled.

    ``size`` is (width, height) of what comes out, None for what is there. With ``fit`` "stretch" the picture is scaled
    to that; with "cover" it is scaled until its short side has ``resize`` pixels, and its centre is cut out.
    """

    size: tuple[int, int] | None = None
    crop: Crop | None = None
    fit: str = "stretch"
    resize: int | None = None
    interpolation: str = "bicubic"

    def filters(self, info: MovieInfo) -> tuple[list[str], tuple[int, int]]:
        """Chain of filters that give RGB of 8 bits, and the size of what they give.

        Raises
        ------
        UsageError
            When it does not fit the film.
        """
        if self.interpolation not in _KERNELS:
            raise UsageError(f"interpolation={self.interpolation!r} is none of {', '.join(_KERNELS)}.")
        width, height = info.size
        chain = []
        matrix = self._matrix(info)
        if self.crop is not None:
            check_crop(self.crop, info)
            # at full size in RGB: cut out of subsampled colours, odd pixels would get their neighbours'
            chain += [self._scale((width, height), matrix), "format=gbrp"]
            width, height, x, y = self.crop
            chain.append(f"crop={width}:{height}:{x}:{y}")
        scaled, cut = self._sizes((width, height))
        chain += [self._scale(scaled, matrix), "format=rgb24"]
        if cut != scaled:
            x, y = (round((a - b) / 2) for a, b in zip(scaled, cut, strict=True))
            chain.append(f"crop={cut[0]}:{cut[1]}:{x}:{y}")
        return chain, cut

    def _sizes(self, shown: tuple[int, int]) -> tuple[tuple[int, int], tuple[int, int]]:
        """Size that the picture is scaled to, and that of the centre cut out."""
        size = self.size or shown
        if min(size) < 1:
            raise UsageError(f"size={size} must be at least one pixel each way.")
        if self.fit == "stretch" and self.resize is None:
            return size, size
        if self.fit != "cover" or self.resize is None:
            raise UsageError(f"fit={self.fit!r}, resize={self.resize}: 'cover' needs a resize, 'stretch' takes none.")
        # the long side is truncated to whole pixels, as torchvision does
        short = min(shown)
        scaled = (self.resize * shown[0] // short, self.resize * shown[1] // short)
        if size[0] > scaled[0] or size[1] > scaled[1]:
            raise UsageError(
                f"size={size} does not fit into the {scaled[0]}x{scaled[1]} pixels that resize={self.resize} gives."
            )
        return scaled, size

    def _scale(self, size: tuple[int, int], matrix: str) -> str:
        return f"scale={size[0]}:{size[1]}:{matrix}{_KERNELS[self.interpolation].format(_EXACT)}"

    @staticmethod
    def _matrix(info: MovieInfo) -> str:
        width, height = info.first.stored
        large = width >= _HIGH_DEFINITION[0] or height >= _HIGH_DEFINITION[1]
        return "in_color_matrix=bt709:" if info.first.matrix == "unknown" and large else ""


def check_crop(crop: Crop, info: MovieInfo) -> None:
    """Refuse a crop that reaches outside the picture.

    Raises
    ------
    UsageError
        When it does.
    """
    width, height, x, y = crop
    if min(width, height) < 1 or min(x, y) < 0 or x + width > info.size[0] or y + height > info.size[1]:
        raise UsageError(
            f"crop {width}:{height}:{x}:{y} (width:height:x:y) reaches outside the picture of "
            f"{info.size[0]}x{info.size[1]} pixels of {info.path}."
        )


def exact_rate(rate: float) -> Fraction:
    """Samples per second as the fraction that is meant: 29.97002997… is 30000/1001.

    Raises
    ------
    UsageError
        When it is not positive.
    """
    if not 0 < rate < float("inf"):
        raise UsageError(f"rate={rate} must be a positive number of samples per second.")
    return Fraction(rate).limit_denominator(100_000)
