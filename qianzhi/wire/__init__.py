"""Bytes to fields and back: framing, codecs, MAC and keys; pure, and nothing of telecom is known here."""
