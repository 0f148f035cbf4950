"""Private servers beside the platform: a broker, a database with its standby, a balancer.

Each has a folder and free ports of its own, listens on loopback only, and ends with the process that started
it.  None touches the servers that a machine may run as services.
"""
