"""Folders of chips, read and written."""
