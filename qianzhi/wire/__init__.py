"""Bytes to named fields and back: framing, codecs, MAC and key delivery.

Pure and dialect-neutral: a dialect is a spec (data) that `codec.load_codec` compiles.  Nothing of telecom is
known here, and no socket, file, clock or log is touched.
"""
