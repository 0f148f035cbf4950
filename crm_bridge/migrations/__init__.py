"""Schema of the core database, by Alembic."""
