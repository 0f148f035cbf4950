"""A pair of nodes per group: route, balance, flow control."""
