"""Store-and-forward 存储转发: a promise is stored before any byte goes, and sent until it is settled."""
