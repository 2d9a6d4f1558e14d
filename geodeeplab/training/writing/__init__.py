"""Chips written to folders."""
