"""What every daemon stands on: settings, clock, events, log with masking, metrics, admin socket, crash points.
"""
