"""torchvision's classifiers, which backbones are cut from; its package is loaded when one is built."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any

from geodeeplab.errors import ModelError


def build_classifier(name: str, **options: Any) -> Any:  # noqa: ANN401 - torchvision has no types
    """Build a classifier without pretrained weights.

    Importing torchvision takes seconds, as its operators load torch's compiler: whoever builds none does not wait.

    Args:
        name: torchvision's.
        options: of its builder.

    Raises:
        ModelError: torchvision and torch do not fit each other.
    """
    with loading_torchvision():
        from torchvision.models import get_model
    return get_model(name, weights=None, **options)


@contextmanager
def loading_torchvision() -> Iterator[None]:
    """Tell in one line that torchvision cannot be imported: it was built for another torch.

    Raises:
        ModelError: an import inside failed.
    """
    try:
        yield
    except (ImportError, RuntimeError) as error:
        raise ModelError(
            f"torchvision {version('torchvision')} does not load beside torch {version('torch')} "
            f"({str(error).splitlines()[0]}): they come in pairs, install both again in one go, from the same index"
        ) from error
