"""What all algorithms do: read the dialog, run the command, load what it wrote."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path

from qgis.core import (
    QgsProcessingAlgorithm,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeatureSource,
    QgsProcessingFeedback,
)
from qgis.PyQt.QtCore import QCoreApplication, QEventLoop, QThread

from ..engine.arguments import Value, command_line, shown
from ..engine.command import run_command
from ..engine.errors import PluginError
from ..layers import check_is_not_open, export, export_extent
from ..results import style_when_loaded
from ..settings import checked_command, command
from .declared import AOI, EXTENT, FURTHER, INPUT, OWN, RESUME, Declared
from .values import Found, Reader

OUTPUTS = ("vectorDestination", "rasterDestination", "fileDestination")


class GeoDeepLabAlgorithm(QgsProcessingAlgorithm):
    """One command of `geodeeplab`."""

    key = title = command_name = summary = ""
    """The algorithm's name in scripts and in the toolbox, the command, and what it is for (HTML)."""
    stages: Sequence[str] = ()
    """Of the command's work, in order."""

    def __init__(self) -> None:
        super().__init__()
        self._declared: list[Declared] = []
        self._values: dict[str, Found] = {}
        self.inputs: list[Found] = []
        self.own_options: dict[str, Value] = {}
        self.facts: Mapping[str, object] = {}
        self.printed: list[str] = []

    @abstractmethod
    def declare(self) -> list[Declared]:
        """List the parameters, in the order of the dialog."""

    def check(self, values: dict[str, Found]) -> str:
        """Say in one line what is wrong with the values together; nothing where all is well."""
        return ""

    def finish(self, results: dict[str, object]) -> None:
        """Do what is to be done after the command, and add results."""

    # What QGIS asks for

    def name(self) -> str:
        """Give the name in scripts."""
        return self.key

    def displayName(self) -> str:
        """Give the name in the toolbox."""
        return self.title

    def shortHelpString(self) -> str:
        """Say what it is for, beside the dialog."""
        return self.summary

    def createInstance(self) -> GeoDeepLabAlgorithm:
        """Give a fresh one, for one run."""
        return type(self)()

    def initAlgorithm(self, configuration: dict[str, object] | None = None) -> None:
        """Declare the parameters."""
        self._declared = self.declare()
        for declared in self._declared:
            self.addParameter(declared.parameter.clone())

    def canExecute(self) -> tuple[bool, str]:
        """Tell, before the dialog opens, whether there is an environment."""
        try:
            command()
        except PluginError as error:
            return False, str(error)
        return True, ""

    def prepareAlgorithm(
        self, parameters: dict[str, object], context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> bool:
        """Read the dialog; layers are read in the main thread."""
        reader = Reader(self, parameters, context)
        try:
            checked_command()
            self._values = {one.parameter.name(): reader.read(one.parameter) for one in self._inputs()}
            self._read_outputs(parameters, QgsProcessingContext())
            self._read_extent(parameters, context)
            problem = self.check(self._values)
            if problem:
                raise PluginError(problem)
            for _, path in self._outputs():
                check_is_not_open(path, context.project())
        except PluginError as error:
            raise QgsProcessingException(str(error)) from error
        return True

    def processAlgorithm(
        self, parameters: dict[str, object], context: QgsProcessingContext, feedback: QgsProcessingFeedback
    ) -> dict[str, object]:
        """Run the command, in a thread of QGIS's."""
        listener = FeedbackListener(feedback, self.printed)
        try:
            self._read_outputs(parameters, context)
            path, arguments = checked_command(), self._arguments(context)
            for _, output in self._outputs():
                Path(output).parent.mkdir(parents=True, exist_ok=True)
            feedback.pushCommandInfo(shown([str(path), *arguments]))
            told = run_command(path, arguments, stages=self.stages, listener=listener)
            facts = told.get("facts")
            self.facts = facts if isinstance(facts, Mapping) else {}
        except PluginError as error:
            raise QgsProcessingException(str(error)) from error
        results: dict[str, object] = dict(self._outputs())
        for name, output in self._outputs():
            style_when_loaded(output, name, context)
        self.finish(results)
        return results

    # Steps

    def _read_extent(self, parameters: dict[str, object], context: QgsProcessingContext) -> None:
        """Make of an extent an area of interest."""
        if self._values.get(EXTENT) is None:
            return
        if self._values.get(AOI) is not None:
            raise PluginError("an area of interest and an extent are given: leave one of them out")
        box = self.parameterAsExtent(parameters, EXTENT, context)
        crs = self.parameterAsExtentCrs(parameters, EXTENT, context)
        self._values[AOI] = export_extent(box, crs, context)

    def _arguments(self, context: QgsProcessingContext) -> list[str]:
        """Write the command line; features that are no file of their own become one."""
        inputs = [self._to_file(one, "INPUT", context) for one in self.inputs]
        options = dict(self.own_options)
        for one in self._declared:
            name = one.parameter.name()
            value = None if one.option is OWN else self._to_file(self._values[name], name, context)
            if one.option == INPUT:
                inputs.append(value)
            elif one.option is not None:
                options[one.option] = value
        further, resume = self._values.get(FURTHER), self._values.get(RESUME)
        return command_line(
            self.command_name, _flat(inputs), options, further=str(further or ""), is_resumed=bool(resume)
        )

    def _to_file(self, found: Found, name: str, context: QgsProcessingContext) -> Value:
        """Make a file of features that are none."""
        return export(found, name, context) if isinstance(found, QgsProcessingFeatureSource) else found

    def _inputs(self) -> list[Declared]:
        """List what is no output."""
        return [one for one in self._declared if one.parameter.type() not in OUTPUTS]

    def _read_outputs(self, parameters: dict[str, object], context: QgsProcessingContext) -> None:
        """Read where outputs go.

        Temporary outputs get another name each time, and the context that is told to load them has to be that of the
        thread in which the command runs; so what is read before, with a context of its own, is for checks alone.
        """
        reader = Reader(self, parameters, context)
        outputs = (one.parameter for one in self._declared if one.parameter.type() in OUTPUTS)
        self._values.update({parameter.name(): reader.read(parameter) for parameter in outputs})

    def _outputs(self) -> list[tuple[str, str]]:
        """List the outputs that are wanted: name and path."""
        named = [one.parameter.name() for one in self._declared if one.parameter.type() in OUTPUTS]
        return [(name, str(self._values[name])) for name in named if self._values.get(name)]


def _flat(values: Sequence[Value]) -> list[str]:
    """Give paths that come one by one or in lists as one list."""
    paths: list[str] = []
    for value in values:
        paths.extend([value] if isinstance(value, str) else value if isinstance(value, Sequence) else [])
    return paths


class FeedbackListener:
    """Tells QGIS's feedback what a command tells.

    Args:
        feedback: QGIS's.
        printed: gets the lines that the command prints for people.
    """

    def __init__(self, feedback: QgsProcessingFeedback, printed: list[str]) -> None:
        self._feedback, self._printed = feedback, printed

    def is_cancelled(self) -> bool:
        """Tell whether the user has cancelled; `qgis_process` hears Ctrl-C where its events are looked at."""
        application = QCoreApplication.instance()
        if application is not None and QThread.currentThread() == application.thread():
            QCoreApplication.processEvents(QEventLoop.ExcludeUserInputEvents)
        return bool(self._feedback.isCanceled())

    def progress(self, percent: float) -> None:
        """Move the bar."""
        self._feedback.setProgress(percent)

    def stage(self, text: str) -> None:
        """Show what is being done."""
        self._feedback.setProgressText(text)

    def message(self, text: str) -> None:
        """Show what the command says; tables keep their columns, though QGIS's log is HTML."""
        self._printed.append(text)
        self._feedback.pushConsoleInfo(text.replace("  ", "\N{NO-BREAK SPACE}" * 2))

    def warning(self, text: str) -> None:
        """Show a warning."""
        self._feedback.pushWarning(text)

    def log(self, text: str) -> None:
        """Keep what a library printed."""
        self._feedback.pushDebugInfo(text)
