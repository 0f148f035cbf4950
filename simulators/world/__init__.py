"""The seeded simulator of all pure cores: one process, one heap clock, faults between any two effects."""
