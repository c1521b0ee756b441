-- Beside the catalog (POSTGRES_DB): Dagster's own storage and MLflow's.
CREATE DATABASE dagster;
CREATE DATABASE mlflow;
