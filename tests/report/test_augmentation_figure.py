import base64
import io
import re
import xml.etree.ElementTree as ET

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from neurocca.report.figures.augmentation import augmentation_drift

SVG = "{http://www.w3.org/2000/svg}"
STRENGTHS = (0.0, 0.2, 0.5, 1.0)
LIMITS = {"rotation": (0.6, "27°", "labels"), "pixel_noise": (0.2, "6 levels", "stage$1"), "flip": (1.0, "all", "")}
LIMITS["together"] = (0.3, "30% of each limit", "stage$1")


def _table(measures=("drift", "identified", "top1_lost", "top5_lost")):
    layers, scores = {"stage$1": 0.9, "stage$2": 0.6}, {"fc": 0.7}
    rows = [
        {"kind": kind, "strength": s, "amount": "", "layer": layer, "measure": measure, "value": s * share}
        for kind in LIMITS
        for s in STRENGTHS
        for measure in measures
        for layer, share in (layers if measure in ("drift", "identified") else scores).items()
    ]
    return pd.DataFrame(rows)


def _limits():
    rows = [(kind, *limit) for kind, limit in LIMITS.items()]
    return pd.DataFrame(rows, columns=["kind", "strength", "amount", "limited_by"])


def _examples(height=20, width=20):
    """Pictures of one colour per strength."""
    colours = np.array([[250, 0, 0], [0, 250, 0], [0, 0, 250], [250, 250, 0]], np.uint8)
    pictures = np.broadcast_to(colours[:, None, None], (4, height, width, 3))
    return dict.fromkeys(LIMITS, pictures)


def _draw(table=None, examples=None, **options):
    table = _table() if table is None else table
    return augmentation_drift(table, _limits(), examples or _examples(), threshold=0.5, name="a", **options)


def _texts(svg):
    return ["".join(t.itertext()) for t in ET.fromstring(svg).iter(f"{SVG}text")]


@pytest.fixture(scope="module")
def svg():
    return _draw()


def test_it_is_one_inline_svg_whose_alternative_names_the_limits(svg):
    root = ET.fromstring(svg)
    assert root.tag == f"{SVG}svg"
    assert root.attrib["role"] == "img"
    assert "rotation up to 27°, pixel_noise up to 6 levels, flip at every strength" in root.attrib["aria-label"]
    assert all(element.attrib["id"].startswith("a-") for element in root.iter() if "id" in element.attrib)
    assert "xlink" not in svg
    assert svg == _draw()  # byte for byte


def test_every_panel_names_its_kind_its_limit_and_its_axes(svg):
    texts = _texts(svg)
    assert {"rotation", "pixel noise", "flip", "all kinds together"} <= set(texts)
    assert {"up to 27°", "up to 6 levels", "up to 30% of each limit", "throughout"} <= set(texts)
    assert texts.count("strength") == 3
    assert "strength, as a share of each kind's limit" in texts
    assert texts.count("drift, share lost") == 2  # one per row of panels
    assert texts.count("0.2") == 4
    assert {"drift of stage$1", "drift of stage$2", "frames are still themselves"} <= set(texts)


def test_without_labels_the_key_does_not_mention_them():
    table = _table(("drift", "identified"))
    assert not any("label lost" in text or "longer" in text for text in _texts(_draw(table)))


def test_nothing_is_outside_and_no_texts_touch(svg):
    root = ET.fromstring(svg)
    width, height = (float(v) for v in root.attrib["viewBox"].split()[2:])
    boxes = []
    for text in root.iter(f"{SVG}text"):
        x, y = float(text.attrib["x"]), float(text.attrib["y"])
        assert 0 <= x <= width
        assert 0 <= y <= height
        if "rotate" in text.attrib.get("transform", "") and "rotate(-90" in text.attrib["transform"]:
            continue
        anchor = re.search(r"text-anchor: (\w+)", text.attrib.get("style", ""))
        length = 5.5 * len("".join(text.itertext()))
        left = x - {"middle": length / 2, "end": length}.get(anchor[1] if anchor else "start", 0)
        boxes.append((left, y - 8, left + length, y, "".join(text.itertext())))
    for i, a in enumerate(boxes):
        for b in boxes[:i]:
            assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1], (a, b)
    pictures = list(root.iter(f"{SVG}image"))
    for picture in pictures:
        x, y, w, h = (float(picture.attrib[key]) for key in ("x", "y", "width", "height"))
        assert x + w <= width
        assert y + h <= height
        assert not any(x < b[2] and b[0] < x + w and y < b[3] and b[1] < y + h for b in boxes)


@pytest.mark.parametrize("shape", [(20, 20), (18, 32)])
def test_pictures_lie_under_their_strengths(shape):
    root = ET.fromstring(_draw(examples=_examples(*shape)))
    pictures = list(root.iter(f"{SVG}image"))
    assert len(pictures) == 4
    ticks = [float(t.attrib["x"]) for t in root.iter(f"{SVG}text") if t.text in ("0.2",)]
    for picture, tick in zip(pictures, ticks, strict=True):
        content = base64.b64decode(picture.attrib["href"].removeprefix("data:image/jpeg;base64,"))
        with Image.open(io.BytesIO(content)) as strip:
            pixels = np.asarray(strip.convert("RGB")).astype(int)
        scale = pixels.shape[1] / float(picture.attrib["width"])
        middle, half = (tick - float(picture.attrib["x"])) * scale, pixels.shape[1] / 8 - 8
        for place in (middle - half, middle, middle + half):
            assert np.abs(pixels[pixels.shape[0] // 2, round(place)] - [0, 250, 0]).max() < 30  # the second is green
    one = 4 * float(pictures[0].attrib["height"]) * shape[1] / shape[0]
    assert one == pytest.approx(float(pictures[0].attrib["width"]), rel=0.1)


def test_the_shade_ends_at_the_limit():
    colour = "#e4eff0"
    ends = []
    for path in re.findall(rf'<path d="([^"]*)"[^>]*fill: {colour}', _draw()):
        corners = [float(x) for x in re.findall(r"-?[\d.]+", path)]
        ends.append((min(corners[::2]), max(corners[::2])))
    width = ends[2][1] - ends[2][0]  # flip: all of the panel
    shares = [(right - left) / width for left, right in ends]
    # four strengths, each a quarter of the panel, the first at an eighth: 0.6 is a fifth of the way from 0.5 to 1
    assert shares == pytest.approx([(0.5 + 2.2) / 4, (0.5 + 1) / 4, 1, (0.5 + 1 + 1 / 3) / 4], abs=0.01)


def test_the_users_style_stays_out_and_as_it_was(svg):
    before = dict(mpl.rcParams)
    with mpl.rc_context({"font.size": 30, "lines.linestyle": "--"}):
        assert _draw() == svg
    assert dict(mpl.rcParams) == before
