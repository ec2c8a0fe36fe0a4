"""`Published`: how the leaves of a layer differ from those of the same layer in the published Equinox."""

from typing import Any, Callable, Dict, Tuple

from .._module.replace import replace_unchecked


def _as_it_is(layer: Any, *values: Any) -> Tuple[Any, ...]:
    return values


class Published:
    """What a class of layers declares as `__published__`. `tree_serialise_leaves` asks for it.

    Each conversion takes the layer and the values of `fields`, and returns as many values. Arrays are passed as NumPy
    arrays. While a file is read, the layer is that of `like`. A conversion isn't called if a value is a leaf but no
    array.

    Args:
        *fields: The names of the fields whose values differ. The published layer has its leaves in the order of the
            fields of ours.
        to: The conversion to the published values. The default is for values that are leaves there, but are part of the
            structure here.
        back: The conversion of published values to ours.
    """

    def __init__(
        self,
        *fields: str,
        to: Callable[..., Tuple[Any, ...]] = _as_it_is,
        back: Callable[..., Tuple[Any, ...]] = _as_it_is,
    ) -> None:
        self.fields, self.to, self.back = fields, to, back

    def replace(self, layer: Any, values: Dict[str, Any]) -> Any:
        """Copy `layer` with new values of fields. What is static stays static."""
        return replace_unchecked(layer, values)
