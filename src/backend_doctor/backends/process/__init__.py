"""Processes of this machine, looked at from outside: memory, open files, threads, stacks."""
