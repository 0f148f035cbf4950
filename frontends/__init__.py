"""A daemon (or a pair) per bank: frame, codec, MAC, session, map to the domain."""
