"""What the assets stand on: settings, images, object store, database, IO managers, models."""
