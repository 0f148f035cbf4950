"""The core on the other side of HTTP: intents here, money there, and one contract between the two."""
