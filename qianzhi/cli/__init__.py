"""The `qianzhi` command."""
