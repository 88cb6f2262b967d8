"""The checks, by topic. Importing this package registers them."""

from auditing.rules import alembic_setup as alembic_setup
from auditing.rules import alembic_versions as alembic_versions
from auditing.rules import annotations as annotations
from auditing.rules import awaits as awaits
from auditing.rules import connections as connections
from auditing.rules import datetimes as datetimes
from auditing.rules import dependencies as dependencies
from auditing.rules import errors as errors
from auditing.rules import factories as factories
from auditing.rules import fields as fields
from auditing.rules import injection as injection
from auditing.rules import json_columns as json_columns
from auditing.rules import lifetimes as lifetimes
from auditing.rules import operators as operators
from auditing.rules import projects as projects
from auditing.rules import pydantic_v1 as pydantic_v1
from auditing.rules import queries as queries
from auditing.rules import relationships as relationships
from auditing.rules import requests as requests
from auditing.rules import sqlite as sqlite
from auditing.rules import stale as stale
from auditing.rules import tasks as tasks
from auditing.rules import transactions as transactions
from auditing.rules import updates as updates
from auditing.rules import urls as urls
