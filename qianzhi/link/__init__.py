"""Batched messages between our own daemons: one mux, authenticated at both ends, symmetric."""
