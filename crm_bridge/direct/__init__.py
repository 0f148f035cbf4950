"""A writer's own way to PostgreSQL: statements in lists, a round trip for each list."""
