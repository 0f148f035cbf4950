"""What a recharge is: requests, replies, results, business dates and money; pure, and no wire format is known here.
"""
