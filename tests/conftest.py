"""The pages of the engine's own tests are run by tests/test_engine.py, most of them to fail."""

collect_ignore = ["pages"]
