"""Adds an entity to a service that was made out of the template. The command is new_service.py beside this folder."""
