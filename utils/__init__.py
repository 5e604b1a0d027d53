"""Helpers shared by the lessons and labs: import from the module that owns the name, `from utils.x import name`."""
