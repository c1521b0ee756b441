"""Whether database and object store agree, what to make again where not, and what is garbage."""

from astrid_resources.integrity.garbage import Garbage, collect_garbage, find_garbage
from astrid_resources.integrity.named import NamedObject, named_objects
from astrid_resources.integrity.problems import Problem, ProblemKind, Verification
from astrid_resources.integrity.repair import Redelivery, Repair, Rerun, pending_reruns, repair
from astrid_resources.integrity.verify import verify

__all__ = [
    "Garbage",
    "NamedObject",
    "Problem",
    "ProblemKind",
    "Redelivery",
    "Repair",
    "Rerun",
    "Verification",
    "collect_garbage",
    "find_garbage",
    "named_objects",
    "pending_reruns",
    "repair",
    "verify",
]
