"""What every daemon stands on.

Settings, clock, events, log with masking, metrics, admin socket and crash points.
"""
