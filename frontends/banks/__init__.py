"""One pure file per bank that breaks the standard; a bank that does not needs none."""
