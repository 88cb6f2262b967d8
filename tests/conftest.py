"""Not collected: pages that tests/test_engine.py runs, most of them to fail, and code that is wrong on purpose."""

collect_ignore = ["pages", "audit"]
