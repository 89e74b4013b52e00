"""How many machines, hours and bytes a number of images takes: formulas over rates that were measured.

==============  ===========================================================================================
``rates``       what was measured on one machine, as data, and its file
``measuring``   measures it, by a ``clock``; ``measured_search`` the part that searches
``task``        what is to be done, checked
``work``        seconds of every stage          ``space``   bytes on disk and in memory, and the constants
``choice``      exact search or an index, one file or many       ``plan``    all of it together
==============  ===========================================================================================

Formulas are pure functions of a task and rates; nothing here guesses a rate that was not measured.
"""

from .choice import Choice
from .figure import Figure
from .measuring import Effort, measure_rates
from .plan import Plan, check_fleet, make_plan
from .rates import Rates, check_rates_output, read_rates, save_rates
from .task import Fleet, Task, count

__all__ = [
    "Choice",
    "Effort",
    "Figure",
    "Fleet",
    "Plan",
    "Rates",
    "Task",
    "check_fleet",
    "check_rates_output",
    "count",
    "make_plan",
    "measure_rates",
    "read_rates",
    "save_rates",
]
