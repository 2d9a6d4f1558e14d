"""torchvision's classifiers, which backbones are cut from; its package is loaded when one is built."""

from typing import Any


def build_classifier(name: str, **options: Any) -> Any:  # noqa: ANN401 - torchvision has no types
    """Build a classifier without pretrained weights.

    Importing torchvision takes seconds, as its operators load torch's compiler: whoever builds none does not wait.

    Args:
        name: torchvision's.
        options: of its builder.
    """
    from torchvision.models import get_model

    return get_model(name, weights=None, **options)
