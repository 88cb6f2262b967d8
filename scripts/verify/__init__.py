"""Parses, extracts, runs and checks the snippets, and starts the databases."""
