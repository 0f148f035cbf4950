"""Queues to banks: one queue interface, ZeroMQ under it."""
