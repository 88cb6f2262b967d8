"""The audit of `audit.py`: rules that look at the parsed files of a project, and what becomes of their findings.

Standard library only. `rules/` holds the checks by topic; `catalogue.py` names the rules.
"""
