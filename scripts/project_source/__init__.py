"""A Python project as text: its files, modules, names, classes and the types of its sessions. Nothing is executed.

The scripts that run in a user's project share this package. Standard library only.
"""
