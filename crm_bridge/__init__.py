"""The only door to the core: the journal, the gateway and its writers."""
