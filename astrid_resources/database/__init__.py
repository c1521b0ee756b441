"""Tables, migrations, sessions and the commit of a partition; SQLite and PostgreSQL alike.

Nothing here knows an asset's science; what is stored is declared in the modules of each domain.
"""

from astrid_resources.database.base import Base, utc_now
from astrid_resources.database.catalog import (
    Confirmation,
    ExportJob,
    ExportStatus,
    LightCurvePoint,
    NameKind,
    Transient,
    TransientMember,
    TransientName,
    TransientStatus,
)
from astrid_resources.database.cone import Match, cone_search, cross_match
from astrid_resources.database.connection import Database, SchemaError, take_lock
from astrid_resources.database.curation import (
    Alert,
    AlertPriority,
    AlertStatus,
    ConfidenceLevel,
    ValidationEvent,
)
from astrid_resources.database.detection import (
    Detection,
    DetectionStatus,
    DetectionType,
    Model,
    ModelRun,
    ModelType,
)
from astrid_resources.database.differencing import (
    Candidate,
    CandidateStatus,
    DifferenceRun,
    ReferenceImage,
)
from astrid_resources.database.healpix import healpix29, healpix29_array
from astrid_resources.database.observations import (
    DeliveredFile,
    DeliveryOutcome,
    Observation,
    QuarantinedFile,
    Survey,
)
from astrid_resources.database.preprocessing import (
    CalibrationFrame,
    CalibrationFrameKind,
    ExposureGrade,
    PreprocessRun,
    RunStatus,
)
from astrid_resources.database.replace import Replacement, load_partition, replace_partition
from astrid_resources.database.rows import Upserted, upsert
from astrid_resources.database.storage import ProductInput, ProductRow
from astrid_resources.database.system import AuditEntry, JobStatus, ProcessingJob, SystemConfig
from astrid_resources.database.transient import Patience, is_transient

__all__ = [
    "Alert",
    "AlertPriority",
    "AlertStatus",
    "AuditEntry",
    "Base",
    "CalibrationFrame",
    "CalibrationFrameKind",
    "Candidate",
    "CandidateStatus",
    "ConfidenceLevel",
    "Confirmation",
    "Database",
    "DeliveredFile",
    "DeliveryOutcome",
    "Detection",
    "DetectionStatus",
    "DetectionType",
    "DifferenceRun",
    "ExportJob",
    "ExportStatus",
    "ExposureGrade",
    "JobStatus",
    "LightCurvePoint",
    "Match",
    "Model",
    "ModelRun",
    "ModelType",
    "NameKind",
    "Observation",
    "Patience",
    "PreprocessRun",
    "ProcessingJob",
    "ProductInput",
    "ProductRow",
    "QuarantinedFile",
    "ReferenceImage",
    "Replacement",
    "RunStatus",
    "SchemaError",
    "Survey",
    "SystemConfig",
    "Transient",
    "TransientMember",
    "TransientName",
    "TransientStatus",
    "Upserted",
    "ValidationEvent",
    "cone_search",
    "cross_match",
    "healpix29",
    "healpix29_array",
    "is_transient",
    "load_partition",
    "replace_partition",
    "take_lock",
    "upsert",
    "utc_now",
]
