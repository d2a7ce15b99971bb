"""GPUs: which there are, whether they help, how much of a model goes on them, and why.

A driver is asked only in a child process with a time limit (``child``, ``probe``, ``calibration``); what it said is
remembered (``memory``) and judged (``choice``). ``fit`` plans with plain numbers. Nothing here may keep the program
from starting: whatever goes wrong ends on the CPU with one line that says what.
"""
