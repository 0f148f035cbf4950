"""The `qianzhi` command.
"""
