"""From the values of a dialog to those of a command line."""

from __future__ import annotations

from typing import Union

from qgis.core import (
    QgsProcessingAlgorithm,
    QgsProcessingContext,
    QgsProcessingFeatureSource,
    QgsProcessingParameterDefinition,
    QgsProcessingParameterNumber,
)

from ..engine.arguments import Value
from ..engine.errors import PluginError
from ..layers import file_of, raster_path

Found = Union[Value, QgsProcessingFeatureSource]
"""A value, or features that are still to be exported."""


class Reader:
    """Reads values, in the main thread, where layers live.

    Args:
        algorithm: Whose values they are.
        parameters: As QGIS passes them on.
        context: The same.
    """

    def __init__(
        self, algorithm: QgsProcessingAlgorithm, parameters: dict[str, object], context: QgsProcessingContext
    ) -> None:
        self._algorithm, self._parameters, self._context = algorithm, parameters, context

    def read(self, parameter: QgsProcessingParameterDefinition) -> Found:
        """Give a parameter's value.

        Raises:
            PluginError: The layer cannot be read by another program.
        """
        name, kind = parameter.name(), parameter.type()
        if kind == "raster":
            return self._raster(name)
        if kind == "multilayer":
            layers = self._algorithm.parameterAsLayerList(self._parameters, name, self._context)
            return [raster_path(layer) for layer in layers or []]
        if kind == "source":
            return self._features(name)
        if kind == "number":
            return self._number(parameter)
        if kind == "boolean":
            return bool(self._algorithm.parameterAsBool(self._parameters, name, self._context))
        if kind == "enum":
            return str(self._algorithm.parameterAsEnumString(self._parameters, name, self._context))
        if kind == "crs":
            crs = self._algorithm.parameterAsCrs(self._parameters, name, self._context)
            return str(crs.authid() or crs.toWkt()) if crs.isValid() else None
        if kind in ("vectorDestination", "rasterDestination"):
            return self._algorithm.parameterAsOutputLayer(self._parameters, name, self._context) or None
        if kind == "fileDestination":
            return self._algorithm.parameterAsFileOutput(self._parameters, name, self._context) or None
        return str(self._algorithm.parameterAsString(self._parameters, name, self._context)).strip() or None

    def _raster(self, name: str) -> str | None:
        if not self._is_given(name):
            return None
        layer = self._algorithm.parameterAsRasterLayer(self._parameters, name, self._context)
        if layer is None:
            raise PluginError(self._algorithm.invalidRasterError(self._parameters, name))
        return raster_path(layer)

    def _features(self, name: str) -> Found:
        if not self._is_given(name):
            return None
        layer = self._algorithm.parameterAsVectorLayer(self._parameters, name, self._context)
        path = None if layer is None else file_of(layer, self._parameters[name])
        if path is not None:
            return path
        source = self._algorithm.parameterAsSource(self._parameters, name, self._context)
        if source is None:
            raise PluginError(self._algorithm.invalidSourceError(self._parameters, name))
        return source

    def _number(self, parameter: QgsProcessingParameterDefinition) -> Value:
        name = parameter.name()
        if not self._is_given(name) and parameter.defaultValue() is None:
            return None
        if parameter.dataType() == QgsProcessingParameterNumber.Integer:
            return int(self._algorithm.parameterAsInt(self._parameters, name, self._context))
        return float(self._algorithm.parameterAsDouble(self._parameters, name, self._context))

    def _is_given(self, name: str) -> bool:
        value = self._parameters.get(name)
        return value is not None and value != ""
