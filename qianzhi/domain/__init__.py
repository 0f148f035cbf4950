"""What a recharge is: requests, replies, results, business dates and money.

Pure; no wire format is known here.
"""
