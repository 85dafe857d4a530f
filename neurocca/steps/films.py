"""Films as passes take them."""

import logging
from pathlib import Path

from neurocca.config import FeaturesConfig
from neurocca.io.files import sha256
from neurocca.io.letterbox import detect_crop, parse_crop
from neurocca.io.movie import probe
from neurocca.steps.passes import Film

log = logging.getLogger(__name__)


def read_film(path: Path, run: str, config: FeaturesConfig) -> Film:
    """Header, digest and crop of a film.

    Raises
    ------
    NoInputError, DataError
        When it cannot be read.
    UsageError
        When the crop is none.
    """
    info = probe(path)
    crop = None
    if config.crop == "auto":
        crop = detect_crop(path)
        log.info("%s: the picture is %d x %d pixels at (%d, %d)", path, *crop)
    elif config.crop:
        crop = parse_crop(config.crop)
    return Film(run, path, sha256(path), info, None if crop == (*info.size, 0, 0) else crop)
