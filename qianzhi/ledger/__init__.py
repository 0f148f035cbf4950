"""Double entry in fen: accounts, transfers, limits and pending transfers; nothing of telecom in it."""
