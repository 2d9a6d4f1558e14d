"""The errors that a caller can act on.

    GeoDeepLabError
    ├── SceneError     (ValueError)  a scene cannot be read, or cannot be used as it is
    ├── ContractError  (ValueError)  a scene does not meet the input contract of a model
    ├── ModelError     (ValueError)  a model file or an architecture is unknown or broken, or gives no numbers
    ├── OptionError    (ValueError)  an option is out of its range, or two do not go together
    └── OutputError    (OSError)     an output cannot be written

Each message is one line: the rule, the value met, the next step.
"""


class GeoDeepLabError(Exception):
    """Base of every error that GeoDeepLab raises on purpose."""


class SceneError(GeoDeepLabError, ValueError):
    """A scene cannot be read, or cannot be used as it is."""


class ContractError(GeoDeepLabError, ValueError):
    """A scene does not meet the input contract of a model."""


class ModelError(GeoDeepLabError, ValueError):
    """A model file or an architecture is unknown or broken, or gives no finite numbers."""


class OptionError(GeoDeepLabError, ValueError):
    """An option is out of its range, or two options do not go together."""


class OutputError(GeoDeepLabError, OSError):
    """An output cannot be written."""


class GeoDeepLabWarning(UserWarning):
    """Something the caller should know, though the work goes on."""
