"""The rows of what a bridge promises to a remote core, in the core's own database."""
