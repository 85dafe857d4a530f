"""The configuration of an analysis: one frozen dataclass per step, read from TOML and written as TOML."""

import dataclasses
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from neurocca.errors import DataError, NoInputError, UsageError
from neurocca.typed import built

HRF_MODELS = (
    "spm",
    "spm + derivative",
    "spm + derivative + dispersion",
    "glover",
    "glover + derivative",
    "glover + derivative + dispersion",
)


FILM_SPACES = ("cnn", "audio", "lowlevel", "motion", "shots")
"""Kinds of features that are made from a film."""


@dataclass(frozen=True)
class FeaturesConfig:
    """How films and annotations become feature series.

    Parameters
    ----------
    rate : samples per second taken from a film.
    annotation_rate : samples per second of regressors made of annotated events.
    spaces : kinds of features made from a film, of FILM_SPACES; empty means cnn, lowlevel and, where the film has
        sound, audio.
    window : sample k is the "frame" on screen at k / rate seconds, or the "mean" of the frames from then to the
        next sample.
    crop : part of the picture that is used: "" all of it, "auto" without the bars around it, or "W:H:X:Y" in pixels.
    model : name of the network, see `neurocca.features.networks.build_network`.
    layers : module paths; empty means the model's own choice.
    pooling : what becomes of a layer's positions.
    weights : "pretrained", "random", or a file.
    reduce : how the network's layers are reduced: "" not at all, "pca:K", "srp:K" or "srp:K+pca:K"; K is a number of
        components or, for pca, the share of variance that they keep.
    reduce_runs : runs that a pca is fitted on; empty means all.
    n_views : augmented views of every frame that the network's features are averaged over; 0 means the frame itself.
    augment_strength : of the augmentation, relative to its default strengths.
    device : "auto", "cpu", "cuda", "cuda:1" or "mps".
    precision : "auto" takes bfloat16 where it is fast and agrees with single precision.
    batch_size : frames in one pass through the network.
    compile : whether torch compiles the network first.
    """

    rate: float = 4.0
    annotation_rate: float = 10.0
    spaces: tuple[str, ...] = ()
    window: Literal["frame", "mean"] = "frame"
    crop: str = ""
    model: str = "efficientnet-lite0"
    layers: tuple[str, ...] = ()
    pooling: Literal["none", "avg", "max", "pyramid", "cls", "patch_mean"] = "avg"
    weights: str = "pretrained"
    reduce: str = ""
    reduce_runs: tuple[str, ...] = ()
    n_views: int = 0
    augment_strength: float = 1.0
    device: str = "auto"
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    batch_size: int = 16
    compile: bool = False

    def __post_init__(self) -> None:
        for name in ("rate", "annotation_rate"):
            value = getattr(self, name)
            _check(0 < value <= 1000, f"features.{name}={value} must be samples per second, above 0 and up to 1000.")
        for space in self.spaces:
            _check(space in FILM_SPACES, f"features.spaces: {space!r} is none of {', '.join(FILM_SPACES)}.")
        for name in ("spaces", "layers"):
            values = getattr(self, name)
            _check(len(set(values)) == len(values), f"features.{name}={list(values)} repeat.")
        _check(self.batch_size >= 1, f"features.batch_size={self.batch_size} must be at least 1.")
        _check(self.n_views >= 0, f"features.n_views={self.n_views} must not be negative.")
        _check(self.augment_strength >= 0, f"features.augment_strength={self.augment_strength} must not be negative.")


@dataclass(frozen=True)
class AlignConfig:
    """How feature series are brought to the volumes' times.

    Parameters
    ----------
    spaces : feature spaces of the store that are used; empty means all.
    response : "hrf" convolves with a canonical response, "kernel" with a given one, "delays" gives every feature once
        per delay, and "none" takes features as they are.
    hrf : one of nilearn's models.
    delays : delays in volumes, for response "delays".
    kernel : file with one column and a header line, for response "kernel": the response every ``kernel_step`` seconds
        from 0 on.
    kernel_step : seconds between two lines of ``kernel``.
    log : features of which log(x + 1e-4) is taken after averaging (energy adds up, loudness does not).
    drift : what leaves BOLD as drift: "cosine" the cosines that are slower than ``high_pass``; "polynomial:K"
        polynomials up to order K, and then features are not high-pass filtered.
    high_pass : longest period in seconds that is left in, by cosines in BOLD and by a periodic filter in features; 0
        leaves drift in.
    low_pass : shortest period in seconds that is left in BOLD and features; 0 leaves all.
    confounds : what else leaves BOLD: "motion6", "motion24", "acompcor", "simple", "scrubbing", "compcor" or
        "ica_aroma", see `neurocca.io.confounds`; other names are columns of the table of confounds.
    fd_threshold : framewise displacement in mm above which volumes are censored; 0 censors none, but for "scrubbing",
        which then takes 0.5.
    dvars_threshold : standardised DVARS above which volumes are censored; 0 censors none, but for "scrubbing", which
        then takes 1.5.
    partial : take what leaves BOLD out of the features too, instead of the periodic filter: partial CCA (Rao 1969,
        doi:10.1007/BF03028532). Both sides then share a gap, for which shifts and random phases reject too often:
        only the in-sample test with scheme "prewhiten" allows for it (Winkler et al. 2020,
        doi:10.1016/j.neuroimage.2020.117065).
    slice_reference : what a volume stands for in time, as a fraction of the repetition time: 0 its start, 0.5 its
        middle.
    onset_shift : seconds that are added to the film's onset in every run; negative where BOLD has been moved back in
        time already, to make up for the haemodynamic delay.
    mask : NIfTI image of the voxels that are analysed, such as a region; together with the masks that are found. Empty
        means those alone. Its voxels must be those of the volumes, but it may reach further.
    atlas : NIfTI image of labels or weights, or the name of an atlas that nilearn has fetched before, such as
        "schaefer_2018:100": volumes are averaged within its parcels. Empty means voxel by voxel.
    smoothing_fwhm : full width at half maximum, in millimetres, of a Gaussian that volumes are smoothed with before
        cleaning, see `neurocca.io.volumes.read_volumes`; 0 leaves them as they are. For voxels only.
    min_coverage : share of its voxels that a parcel of ``atlas`` must have in the field of view and the mask, and that
        must vary; others are left out. 0 takes all that have any.
    label_atlas : another atlas, in the space of the volumes: its parcels name the peaks of voxelwise maps. Empty means
        that peaks are told by their coordinates alone.
    centroids : table (TSV or CSV) of the places of parcels that come as tables of time series: their names, and x, y, z
        in mm of MNI space. The report then draws them in the brain. Empty means that they are known by name alone.
    standardize_bold : how BOLD is scaled in every run. "zscore": to unit variance. "psc": percent of the mean before
        cleaning. "none": not at all.
    standardize : how features are scaled. "run": to unit variance in every run. "train": centred in every run,
        scaled over the training runs; safer for sparse features, which are nearly constant in some run.
    trim : volumes cut off the start and end of every run; empty means the dataset's own rule.
    t_r : repetition time in seconds; 0 means as the data say.
    max_excess : seconds by which a film may outlast its run before that is taken for a mistake.
    """

    spaces: tuple[str, ...] = ()
    response: Literal["hrf", "delays", "kernel", "none"] = "hrf"
    hrf: str = "spm"
    delays: tuple[int, ...] = (1, 2, 3, 4)
    kernel: str = ""
    kernel_step: float = 0.1
    log: tuple[str, ...] = ("loudness",)
    drift: str = "cosine"
    high_pass: float = 128.0
    low_pass: float = 0.0
    confounds: tuple[str, ...] = ("motion6",)
    fd_threshold: float = 0.0
    dvars_threshold: float = 0.0
    partial: bool = False
    slice_reference: float = 0.5
    onset_shift: float = 0.0
    mask: str = ""
    atlas: str = ""
    smoothing_fwhm: float = 0.0
    min_coverage: float = 0.5
    label_atlas: str = ""
    centroids: str = ""
    standardize_bold: Literal["zscore", "psc", "none"] = "zscore"
    standardize: Literal["run", "train"] = "train"
    trim: tuple[int, ...] = ()
    t_r: float = 0.0
    max_excess: float = 10.0

    def __post_init__(self) -> None:
        _check(self.hrf in HRF_MODELS, f"align.hrf={self.hrf!r} is none of {', '.join(HRF_MODELS)}.")
        _check(bool(self.delays) and min(self.delays) >= 0, f"align.delays={self.delays} must be volumes >= 0.")
        _check(len(set(self.delays)) == len(self.delays), f"align.delays={self.delays} repeat.")
        for name in ("high_pass", "low_pass", "fd_threshold", "dvars_threshold"):
            value, unit = getattr(self, name), "a period in seconds" if name.endswith("pass") else "a positive number"
            _check(value >= 0, f"align.{name}={value} must be {unit}, or 0.")
        _check(
            self.low_pass == 0 or self.high_pass == 0 or self.low_pass < self.high_pass,
            f"align.low_pass={self.low_pass} s and align.high_pass={self.high_pass} s leave no period in.",
        )
        _check(
            re.fullmatch(r"cosine|polynomial:\d", self.drift) is not None,
            f"align.drift={self.drift!r} must be 'cosine' or 'polynomial:K' with an order K from 0 to 9.",
        )
        _check(self.response != "kernel" or bool(self.kernel), "align.response='kernel' needs a file in align.kernel.")
        _check(self.kernel_step > 0, f"align.kernel_step={self.kernel_step} must be seconds, above 0.")
        _check(
            0 <= self.slice_reference <= 1,
            f"align.slice_reference={self.slice_reference} must be a fraction of the repetition time, from 0 to 1.",
        )
        _check(0 <= self.min_coverage <= 1, f"align.min_coverage={self.min_coverage} must be a share, from 0 to 1.")
        _check(abs(self.onset_shift) < 1e5, f"align.onset_shift={self.onset_shift} must be seconds, below 1e5.")
        _check(
            len(self.trim) in (0, 2) and all(t >= 0 for t in self.trim),
            f"align.trim={list(self.trim)} must be empty or [volumes at the start, volumes at the end].",
        )
        _check(
            0 <= self.smoothing_fwhm <= 100,
            f"align.smoothing_fwhm={self.smoothing_fwhm} must be millimetres, from 0 to 100.",
        )
        _check(self.max_excess >= 0, f"align.max_excess={self.max_excess} must be seconds, at least 0.")
        _check(0 <= self.t_r < 1000, f"align.t_r={self.t_r} must be in seconds, or 0.")
        for name in ("spaces", "confounds"):
            values = getattr(self, name)
            _check(len(set(values)) == len(values), f"align.{name}={list(values)} repeat.")


@dataclass(frozen=True)
class FitConfig:
    """How the canonical components are fitted.

    The shrinkage of each view is chosen on the training runs from ``shrinkage_x`` and ``shrinkage_y``
    (0 = CCA, 1 = PLS) by leaving one run out at a time.

    Parameters
    ----------
    estimator : "linear"; "kernel", with a Gaussian kernel of each view, whose width is that of the data, and one
        shrinkage for both; or "deep", with a network for each view, which has no shrinkage to be chosen and no
        in-sample test, and is trained for every left-out run of every permutation: some tens of those take hours.
    n_components : canonical components.
    shrinkage_x, shrinkage_y : of features and BOLD.
    n_landmarks : samples, drawn at random, that span the functions of a kernel.
    epochs : of the networks' training, at most.
    """

    estimator: Literal["linear", "kernel", "deep"] = "linear"
    n_components: int = 5
    shrinkage_x: tuple[float, ...] = (0.01, 0.1, 0.3, 0.6, 0.9, 1.0)
    shrinkage_y: tuple[float, ...] = (0.01, 0.1, 0.3, 0.6, 0.9, 1.0)
    n_landmarks: int = 300
    epochs: int = 100

    def __post_init__(self) -> None:
        for name in ("n_components", "n_landmarks", "epochs"):
            _check(getattr(self, name) >= 1, f"fit.{name}={getattr(self, name)} must be at least 1.")
        for name in ("shrinkage_x", "shrinkage_y"):
            grid = getattr(self, name)
            _check(
                bool(grid) and all(0 <= s <= 1 for s in grid),
                f"fit.{name}={list(grid)} must be values between 0 (CCA) and 1 (PLS).",
            )
        if self.estimator == "kernel":
            _check(
                self.shrinkage_x == self.shrinkage_y,
                "the kernel estimator has one shrinkage for both views: give --shrinkage one number, or auto.",
            )
            # without any, functions of a kernel that can tell all samples apart correlate perfectly
            _check(max(self.shrinkage_x) > 0, "the kernel estimator needs shrinkage above 0.")


@dataclass(frozen=True)
class InferenceConfig:
    """How the components are tested.

    ``scheme`` says how runs of one side are rearranged: rotated in time, or with random phases. ``min_shift`` is the
    shortest circular shift in seconds: shorter ones leave the haemodynamic response in place and are not a null.
    """

    scheme: Literal["circular_shift", "phase_randomize"] = "circular_shift"
    n_permutations: int = 1000
    min_shift: float = 20.0
    seed: int = 0

    def __post_init__(self) -> None:
        _check(self.n_permutations >= 1, f"inference.n_permutations={self.n_permutations} must be at least 1.")
        _check(
            0 < self.min_shift < 1e6, f"inference.min_shift={self.min_shift} must be seconds, above 0 and below 1e6."
        )
        _check(self.seed >= 0, f"inference.seed={self.seed} must not be negative.")


@dataclass(frozen=True)
class Config:
    """The whole configuration.

    Examples
    --------
    >>> config = Config.from_dict({"fit": {"n_components": 3}})
    >>> config.fit.n_components
    3
    >>> Config.from_dict({"fit": {"n_component": 3}})
    Traceback (most recent call last):
    neurocca.errors.UsageError: unknown key 'fit.n_component'; the nearest valid one is 'fit.n_components'.
    """

    features: FeaturesConfig = field(default_factory=FeaturesConfig)
    align: AlignConfig = field(default_factory=AlignConfig)
    fit: FitConfig = field(default_factory=FitConfig)
    inference: InferenceConfig = field(default_factory=InferenceConfig)

    @classmethod
    def from_dict(cls, tables: Mapping[str, Any]) -> "Config":
        """Build from nested tables; unknown keys and values of the wrong type are refused by name."""
        return built(cls, tables, "")

    @classmethod
    def from_toml(cls, path: Path | str) -> "Config":
        """Read a TOML file."""
        path = Path(path)
        try:
            tables = tomllib.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise NoInputError(f"configuration {path}: no such file.") from error
        except OSError as error:
            raise NoInputError(f"configuration {path}: cannot be read: {error.strerror}.") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise DataError(f"configuration {path}: not valid TOML: {error}") from error
        try:
            return cls.from_dict(tables)
        except UsageError as error:
            raise UsageError(f"configuration {path}: {error}") from error

    def with_values(self, values: Mapping[str, Any]) -> "Config":
        """Copy with dotted keys replaced, for example ``{"fit.n_components": 3}``; None values are left out."""
        tables = dataclasses.asdict(self)
        for key, value in values.items():
            if value is not None:
                table, name = key.split(".")
                tables[table][name] = value
        return Config.from_dict(tables)

    def to_toml(self) -> str:
        """Text of the complete configuration, one table per step."""
        import tomli_w

        tables = dataclasses.asdict(self)
        lists = {t: {k: list(v) if isinstance(v, tuple) else v for k, v in d.items()} for t, d in tables.items()}
        return tomli_w.dumps(lists)


def _check(ok: bool, message: str) -> None:
    if not ok:
        raise UsageError(message)
