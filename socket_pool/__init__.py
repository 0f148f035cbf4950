"""Twisted TCP: listening and connecting with limits, bytes in and bytes out, in lists."""
