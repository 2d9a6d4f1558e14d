"""What the plugin does without QGIS: the environment, the command lines, the protocol, the process."""
