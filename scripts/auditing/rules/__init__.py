"""The checks, by topic. Importing this package registers them."""

from auditing.rules import awaits as awaits
from auditing.rules import datetimes as datetimes
from auditing.rules import dependencies as dependencies
from auditing.rules import factories as factories
from auditing.rules import lifetimes as lifetimes
from auditing.rules import tasks as tasks
from auditing.rules import transactions as transactions
