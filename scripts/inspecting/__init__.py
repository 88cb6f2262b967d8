"""What `inspect_project.py` looks up, each topic in a module of its own. Standard library only."""
