"""Finding, measuring and filtering what differs; the science files import no Dagster."""
