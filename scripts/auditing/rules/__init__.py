"""The checks, by topic. Importing this package registers them."""

from auditing.rules import alembic_setup as alembic_setup
from auditing.rules import alembic_versions as alembic_versions
from auditing.rules import connections as connections
from auditing.rules import datetimes as datetimes
from auditing.rules import errors as errors
from auditing.rules import injection as injection
from auditing.rules import projects as projects
from auditing.rules import sqlite as sqlite
from auditing.rules import urls as urls
