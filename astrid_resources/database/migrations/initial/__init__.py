"""The first migration, frozen: one module per domain. Never edited once it was released."""
