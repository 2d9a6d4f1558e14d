"""A figure that notebooks show whether or not pyplot was loaded."""

from io import BytesIO

from matplotlib.figure import Figure


class ShownFigure(Figure):
    """A figure with a picture of itself: IPython knows matplotlib's only once pyplot's backend is up."""

    def _repr_png_(self) -> bytes:
        picture = BytesIO()
        self.savefig(picture, format="png", dpi=90, bbox_inches="tight")
        return picture.getvalue()
