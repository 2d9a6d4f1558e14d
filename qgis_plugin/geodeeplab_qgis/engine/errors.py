"""What a user can act on."""


class PluginError(Exception):
    """One line: what is wrong, and what to do."""


class CommandError(PluginError):
    """The command ended with an error, which it has told."""


class CancelledError(PluginError):
    """The user cancelled, and the command has ended."""
