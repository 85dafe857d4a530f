"""The works that the methods paragraph cites."""

from dataclasses import dataclass

OTHERS = "others"
"""Stands for the authors after those who are named."""


@dataclass(frozen=True)
class Reference:
    """An article.

    Parameters
    ----------
    authors : tuple of str
        As "Hotelling, H."; the last may be `OTHERS`.
    year : int
    title, journal, volume, pages, doi : str
        Pages as "321–377", or the number of the article. Without a DOI, the last is empty.
    """

    authors: tuple[str, ...]
    year: int
    title: str
    journal: str
    volume: str
    pages: str
    doi: str

    @property
    def short(self) -> str:
        """How a text names it.

        >>> HOTELLING.short, NICHOLS.short, WINKLER.short
        ('Hotelling 1936', 'Nichols & Holmes 2002', 'Winkler et al. 2020')
        """
        names = [author.partition(",")[0] for author in self.authors]
        return f"{f'{names[0]} et al.' if len(names) > 2 else ' & '.join(names)} {self.year}"

    @property
    def full(self) -> str:
        """Authors, year, title and where it stands."""
        *first, last = self.authors
        authors = last if not first else f"{', '.join(first)}, {'et al.' if last == OTHERS else f'& {last}'}"
        return f"{authors} ({self.year}). {self.title}. {self.journal}, {self.volume}, {self.pages}."

    @property
    def key(self) -> str:
        """Label of its entry in BibTeX: the first author and the year.

        >>> HOTELLING.key
        'hotelling1936'
        """
        name = self.authors[0].partition(",")[0].lower()
        return f"{''.join(letter for letter in name if letter.isalnum())}{self.year}"

    @property
    def bibtex(self) -> str:
        """Entry for BibTeX."""
        fields = {
            "author": " and ".join(self.authors),
            "title": f"{{{self.title}}}",
            "journal": self.journal,
            "year": str(self.year),
            "volume": self.volume,
            "pages": self.pages.replace("–", "--"),
            "doi": self.doi,
        }
        lines = [f"  {name} = {{{value}}}" for name, value in fields.items() if value]
        return ",\n".join([f"@article{{{self.key}", *lines]) + "\n}"


ABRAHAM = Reference(
    ("Abraham, A.", "Pedregosa, F.", "Eickenberg, M.", "Gervais, P.", "Mueller, A.", "Kossaifi, J.", "Gramfort, A.",
     "Thirion, B.", "Varoquaux, G."),
    2014, "Machine learning for neuroimaging with scikit-learn", "Frontiers in Neuroinformatics", "8", "14",
    "10.3389/fninf.2014.00014",
)  # fmt: skip
ANDREW = Reference(
    ("Andrew, G.", "Arora, R.", "Bilmes, J.", "Livescu, K."),
    2013, "Deep canonical correlation analysis", "Proceedings of Machine Learning Research", "28", "1247–1255", "",
)  # fmt: skip
BORCARD = Reference(
    ("Borcard, D.", "Legendre, P.", "Drapeau, P."),
    1992, "Partialling out the spatial component of ecological variation", "Ecology", "73", "1045–1055",
    "10.2307/1940179",
)  # fmt: skip
DE_HEER = Reference(
    ("de Heer, W. A.", "Huth, A. G.", "Griffiths, T. L.", "Gallant, J. L.", "Theunissen, F. E."),
    2017, "The hierarchical cortical organization of human speech processing", "Journal of Neuroscience", "37",
    "6539–6557", "10.1523/JNEUROSCI.3267-16.2017",
)  # fmt: skip
DUPRE_LA_TOUR = Reference(
    ("Dupré la Tour, T.", "Eickenberg, M.", "Nunez-Elizalde, A. O.", "Gallant, J. L."),
    2022, "Feature-space selection with banded ridge regression", "NeuroImage", "264", "119728",
    "10.1016/j.neuroimage.2022.119728",
)  # fmt: skip
FRISTON = Reference(
    ("Friston, K. J.", "Fletcher, P.", "Josephs, O.", "Holmes, A.", "Rugg, M. D.", "Turner, R."),
    1998, "Event-related fMRI: characterizing differential responses", "NeuroImage", "7", "30–40",
    "10.1006/nimg.1997.0306",
)  # fmt: skip
GLOVER = Reference(
    ("Glover, G. H.",), 1999, "Deconvolution of impulse response in event-related BOLD fMRI", "NeuroImage", "9",
    "416–429", "10.1006/nimg.1998.0419",
)  # fmt: skip
HANKE = Reference(
    ("Hanke, M.", "Adelhöfer, N.", "Kottke, D.", "Iacovella, V.", "Sengupta, A.", "Kaule, F. R.", "Nigbur, R.",
     "Waite, A. Q.", "Baumgartner, F.", "Stadler, J."),
    2016,
    "A studyforrest extension, simultaneous fMRI and eye gaze recordings during prolonged natural stimulation",
    "Scientific Data", "3", "160092", "10.1038/sdata.2016.92",
)  # fmt: skip
HARDOON = Reference(
    ("Hardoon, D. R.", "Szedmak, S.", "Shawe-Taylor, J."),
    2004, "Canonical correlation analysis: an overview with application to learning methods", "Neural Computation",
    "16", "2639–2664", "10.1162/0899766042321814",
)  # fmt: skip
HARRIS = Reference(
    ("Harris, C. R.", "Millman, K. J.", "van der Walt, S. J.", OTHERS),
    2020, "Array programming with NumPy", "Nature", "585", "357–362", "10.1038/s41586-020-2649-2",
)  # fmt: skip
HOTELLING = Reference(
    ("Hotelling, H.",), 1936, "Relations between two sets of variates", "Biometrika", "28", "321–377",
    "10.1093/biomet/28.3-4.321",
)  # fmt: skip
LINDQUIST = Reference(
    ("Lindquist, M. A.", "Geuter, S.", "Wager, T. D.", "Caffo, B. S."),
    2019, "Modular preprocessing pipelines can reintroduce artifacts into fMRI data", "Human Brain Mapping", "40",
    "2358–2376", "10.1002/hbm.24528",
)  # fmt: skip
LORENZO_SEVA = Reference(
    ("Lorenzo-Seva, U.", "ten Berge, J. M. F."),
    2006, "Tucker's congruence coefficient as a meaningful index of factor similarity", "Methodology", "2", "57–64",
    "10.1027/1614-2241.2.2.57",
)  # fmt: skip
NICHOLS = Reference(
    ("Nichols, T. E.", "Holmes, A. P."),
    2002, "Nonparametric permutation tests for functional neuroimaging: a primer with examples",
    "Human Brain Mapping", "15", "1–25", "10.1002/hbm.1058",
)  # fmt: skip
PHIPSON = Reference(
    ("Phipson, B.", "Smyth, G. K."),
    2010,
    "Permutation P-values should never be zero: calculating exact P-values when permutations are randomly drawn",
    "Statistical Applications in Genetics and Molecular Biology", "9", "39", "10.2202/1544-6115.1585",
)  # fmt: skip
PASZKE = Reference(
    ("Paszke, A.", "Gross, S.", "Massa, F.", "Lerer, A.", "Bradbury, J.", "Chanan, G.", "Killeen, T.", "Lin, Z.",
     "Gimelshein, N.", "Antiga, L.", "Desmaison, A.", "Köpf, A.", "Yang, E.", "DeVito, Z.", "Raison, M.", "Tejani, A.",
     "Chilamkurthy, S.", "Steiner, B.", "Fang, L.", "Bai, J.", "Chintala, S."),
    2019, "PyTorch: an imperative style, high-performance deep learning library",
    "Advances in Neural Information Processing Systems", "32", "8024–8035", "",
)  # fmt: skip
PEDREGOSA = Reference(
    ("Pedregosa, F.", "Varoquaux, G.", "Gramfort, A.", "Michel, V.", "Thirion, B.", "Grisel, O.", "Blondel, M.",
     "Prettenhofer, P.", "Weiss, R.", "Dubourg, V.", "Vanderplas, J.", "Passos, A.", "Cournapeau, D.", "Brucher, M.",
     "Perrot, M.", "Duchesnay, É."),
    2011, "Scikit-learn: machine learning in Python", "Journal of Machine Learning Research", "12", "2825–2830", "",
)  # fmt: skip
PRICHARD = Reference(
    ("Prichard, D.", "Theiler, J."),
    1994, "Generating surrogate data for time series with several simultaneously measured variables",
    "Physical Review Letters", "73", "951–954", "10.1103/PhysRevLett.73.951",
)  # fmt: skip
STROTHER = Reference(
    ("Strother, S. C.", "Anderson, J.", "Hansen, L. K.", "Kjems, U.", "Kustra, R.", "Sidtis, J.", "Frutiger, S.",
     "Muley, S.", "LaConte, S.", "Rottenberg, D."),
    2002, "The quantitative evaluation of functional neuroimaging experiments: the NPAIRS data analysis framework",
    "NeuroImage", "15", "747–771", "10.1006/nimg.2001.1034",
)  # fmt: skip
VINOD = Reference(
    ("Vinod, H. D.",), 1976, "Canonical ridge and econometrics of joint production", "Journal of Econometrics", "4",
    "147–166", "10.1016/0304-4076(76)90010-5",
)  # fmt: skip
VIRTANEN = Reference(
    ("Virtanen, P.", "Gommers, R.", "Oliphant, T. E.", OTHERS),
    2020, "SciPy 1.0: fundamental algorithms for scientific computing in Python", "Nature Methods", "17", "261–272",
    "10.1038/s41592-019-0686-2",
)  # fmt: skip
WINKLER = Reference(
    ("Winkler, A. M.", "Renaud, O.", "Smith, S. M.", "Nichols, T. E."),
    2020, "Permutation inference for canonical correlation analysis", "NeuroImage", "220", "117065",
    "10.1016/j.neuroimage.2020.117065",
)  # fmt: skip

ALL = (
    ABRAHAM, ANDREW, BORCARD, DE_HEER, DUPRE_LA_TOUR, FRISTON, GLOVER, HANKE, HARDOON, HARRIS, HOTELLING, LINDQUIST,
    LORENZO_SEVA, NICHOLS, PHIPSON, PRICHARD, STROTHER, VINOD, VIRTANEN, WINKLER,
)  # fmt: skip


def cite(*works: Reference) -> str:
    """Works in brackets, as a text names them."""
    return f"({'; '.join(work.short for work in works)})"


def cited_in(text: str) -> list[Reference]:
    """Works that a text names, in alphabetical order."""
    return [work for work in ALL if work.short in text]
