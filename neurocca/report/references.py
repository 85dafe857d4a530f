"""The works that the methods paragraph cites."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Reference:
    """A work: how the text names it, its full form, and its DOI, where it has one."""

    short: str
    full: str
    doi: str | None


ANDREW = Reference(
    "Andrew et al. 2013",
    "Andrew, G., Arora, R., Bilmes, J., & Livescu, K. (2013). Deep canonical correlation analysis. Proceedings of the "
    "30th International Conference on Machine Learning, PMLR 28, 1247–1255.",
    None,
)
HARDOON = Reference(
    "Hardoon et al. 2004",
    "Hardoon, D. R., Szedmak, S., & Shawe-Taylor, J. (2004). Canonical correlation analysis: an overview with "
    "application to learning methods. Neural Computation, 16, 2639–2664.",
    "10.1162/0899766042321814",
)
HOTELLING = Reference(
    "Hotelling 1936",
    "Hotelling, H. (1936). Relations between two sets of variates. Biometrika, 28, 321–377.",
    "10.1093/biomet/28.3-4.321",
)
VINOD = Reference(
    "Vinod 1976",
    "Vinod, H. D. (1976). Canonical ridge and econometrics of joint production. Journal of Econometrics, 4, 147–166.",
    "10.1016/0304-4076(76)90010-5",
)
FRISTON = Reference(
    "Friston et al. 1998",
    "Friston, K. J., Fletcher, P., Josephs, O., Holmes, A., Rugg, M. D., & Turner, R. (1998). Event-related fMRI: "
    "characterizing differential responses. NeuroImage, 7, 30–40.",
    "10.1006/nimg.1997.0306",
)
GLOVER = Reference(
    "Glover 1999",
    "Glover, G. H. (1999). Deconvolution of impulse response in event-related BOLD fMRI. NeuroImage, 9, 416–429.",
    "10.1006/nimg.1998.0419",
)
LINDQUIST = Reference(
    "Lindquist et al. 2019",
    "Lindquist, M. A., Geuter, S., Wager, T. D., & Caffo, B. S. (2019). Modular preprocessing pipelines can "
    "reintroduce artifacts into fMRI data. Human Brain Mapping, 40, 2358–2376.",
    "10.1002/hbm.24528",
)
NICHOLS = Reference(
    "Nichols & Holmes 2002",
    "Nichols, T. E., & Holmes, A. P. (2002). Nonparametric permutation tests for functional neuroimaging: a primer "
    "with examples. Human Brain Mapping, 15, 1–25.",
    "10.1002/hbm.1058",
)
PHIPSON = Reference(
    "Phipson & Smyth 2010",
    "Phipson, B., & Smyth, G. K. (2010). Permutation P-values should never be zero: calculating exact P-values when "
    "permutations are randomly drawn. Statistical Applications in Genetics and Molecular Biology, 9, 39.",
    "10.2202/1544-6115.1585",
)
PRICHARD = Reference(
    "Prichard & Theiler 1994",
    "Prichard, D., & Theiler, J. (1994). Generating surrogate data for time series with several simultaneously "
    "measured variables. Physical Review Letters, 73, 951–954.",
    "10.1103/PhysRevLett.73.951",
)
WINKLER = Reference(
    "Winkler et al. 2020",
    "Winkler, A. M., Renaud, O., Smith, S. M., & Nichols, T. E. (2020). Permutation inference for canonical "
    "correlation analysis. NeuroImage, 220, 117065.",
    "10.1016/j.neuroimage.2020.117065",
)
HANKE = Reference(
    "Hanke et al. 2016",
    "Hanke, M., Adelhöfer, N., Kottke, D., Iacovella, V., Sengupta, A., Kaule, F. R., Nigbur, R., Waite, A. Q., "
    "Baumgartner, F., & Stadler, J. (2016). A studyforrest extension, simultaneous fMRI and eye gaze recordings during "
    "prolonged natural stimulation. Scientific Data, 3, 160092.",
    "10.1038/sdata.2016.92",
)

ALL = (ANDREW, FRISTON, GLOVER, HANKE, HARDOON, HOTELLING, LINDQUIST, NICHOLS, PHIPSON, PRICHARD, VINOD, WINKLER)


def cite(*works: Reference) -> str:
    """Works in brackets, as a text names them."""
    return f"({'; '.join(work.short for work in works)})"


def cited_in(text: str) -> list[Reference]:
    """Works that a text names, in alphabetical order."""
    return [work for work in ALL if work.short in text]
