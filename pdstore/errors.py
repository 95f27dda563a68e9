"""Every way in which pdstore says no, as one tree of errors.

Grouped by what a caller would do about them. `kind` is stable and may be matched by programs; the message is one line
for a person: what, where, both values, what to do.
"""


class PdstoreError(Exception):
    """Base of every error that pdstore raises on purpose.

    Attributes
    ----------
    kind : str
        Stable name of the error, e.g. ``"input"``.
    exit_status : int
        What the command line exits with: 2 for bad input or bad usage, 1 for a job that failed.
    """

    kind = "error"
    exit_status = 2


class InputError(PdstoreError):
    """A source file, or what it says, cannot be used."""

    kind = "input"


class StoreError(PdstoreError):
    """The store does not exist, is in the way, or is not a pdstore store."""

    kind = "store"


class SchemaError(StoreError):
    """A group or an array deviates from its schema."""

    kind = "schema"


class ProvenanceError(StoreError):
    """The store was made or filled from other inputs than the ones given now."""

    kind = "provenance"


class MissingDataError(StoreError):
    """Values were asked for that the store does not hold yet."""

    kind = "missing"


class DamagedDataError(StoreError):
    """Bytes of the store are not what was written."""

    kind = "damaged"


class RemoteError(StoreError):
    """A server does not give what is asked of it."""

    kind = "remote"
    exit_status = 1


class UnknownGeneError(PdstoreError):
    """No gene, or more than one gene, goes by the name."""

    kind = "gene"


class ModelError(PdstoreError):
    """There is no such model, or the weights are not the model's."""

    kind = "model"


class PrecisionError(ModelError):
    """Arithmetic that is faster gives other numbers than it may."""

    kind = "precision"
    exit_status = 1


class UsageError(PdstoreError):
    """Options that contradict each other or lack one another."""

    kind = "usage"


class JobError(PdstoreError):
    """A job ran and did not finish; what it finished is kept."""

    kind = "job"
    exit_status = 1


class LeaseError(JobError):
    """Another job writes to the store, or took it over."""

    kind = "lease"


class DiskFullError(JobError):
    """There is no room for what is to be written."""

    kind = "disk"
