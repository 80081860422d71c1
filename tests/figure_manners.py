"""What every figure must do, whatever it shows."""

import io
from collections.abc import Callable

import matplotlib
from matplotlib import pyplot
from matplotlib.figure import Figure


def assert_manners(draw: Callable[[], Figure]) -> None:
    """No pyplot, no settings; words on every panel, none over another or cut off."""
    open_figures, settings = pyplot.get_fignums(), dict(matplotlib.rcParams)
    figure = draw()
    figure.savefig(io.BytesIO(), format="png", dpi=40)
    assert isinstance(figure, Figure)
    assert pyplot.get_fignums() == open_figures
    assert dict(matplotlib.rcParams) == settings
    assert figure.get_suptitle()
    assert any(panel.get_xlabel() for panel in figure.axes)
    assert all(panel.get_ylabel() or panel.get_title(loc="left") for panel in figure.axes)
    figure.draw_without_rendering()
    frame = figure.bbox.padded(1)
    for panel in figure.axes:
        texts = [text for text in panel.texts if text.get_text()]
        boxes = [x.get_window_extent() for x in (*texts, panel.xaxis.label, panel.yaxis.label)]
        boxes = [box for box in boxes if box.width > 0 and box.height > 0]
        for k, box in enumerate(boxes):
            assert frame.contains(*box.min) and frame.contains(*box.max)
            for other in boxes[:k]:
                assert not box.padded(-1).overlaps(other.padded(-1))
