"""Two services with one fault each; behind the same names the faults change places."""

from tests.scenarios.frame.fault import Placement, Scenario
from tests.scenarios.leak_idle_in_transaction import LeakIdleInTransaction
from tests.scenarios.lock_hot_row import LockHotRow

SCENARIO = Scenario(
    "X02", (Placement(LeakIdleInTransaction(), 0), Placement(LockHotRow(), 1)), has_twin=False
)
SWAPPED = Scenario(
    "X03",
    (Placement(LockHotRow(), 0), Placement(LeakIdleInTransaction(), 1)),
    has_twin=False,
    names_of="X02",
)
