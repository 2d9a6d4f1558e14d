"""What is changed about a chip while training, in numbers."""

from dataclasses import dataclass

from geodeeplab.errors import OptionError


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """Random changes of geometry and radiometry; validation sees none of them."""

    flips: bool = True
    """Flips and quarter turns: the eight symmetries of the square."""
    scale: tuple[float, float] = (0.6, 1.8)
    """Least and greatest zoom, drawn evenly on a logarithmic scale; above 1 objects grow."""
    rotation_share: float = 0.5
    """Share of chips that are turned by any angle, too."""
    strength: float = 0.6
    """Strength of the changes of light, colour, haze, shadow, blur and noise; 0 for none, 1 for strong ones."""
    recolour_share: float = 0.0
    """Share of chips whose bands become random mixtures of all bands: for things of any colour, such as roofs, where
    the colours of other places must not be learnt. Where colour tells the classes apart it costs accuracy."""
    optional_bands: tuple[str, ...] = ()
    """Names of bands that scenes of the model's users may lack: a share of the chips has their means in place of all of
    them, and the model file says that they are optional."""
    optional_share: float = 0.3
    """That share."""

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            OptionError: if one is out of its range.
        """
        low, high = self.scale
        if not 0 < low <= high:
            raise OptionError(f"scale is two numbers above 0, the lower one first, not {low:g}, {high:g}")
        if not 0 <= self.rotation_share <= 1:
            raise OptionError(f"`rotation_share=` is a share from 0 to 1, not {self.rotation_share:g}")
        if not 0 <= self.recolour_share <= 1:
            raise OptionError(f"`recolour_share=` is a share from 0 to 1, not {self.recolour_share:g}")
        if not 0 < self.optional_share < 1:
            raise OptionError(f"`optional_share=` is a share between 0 and 1, not {self.optional_share:g}")
        if self.strength < 0:
            raise OptionError(f"strength is 0 or more, not {self.strength:g}")
