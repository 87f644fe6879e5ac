"""What runs on a board before anything of ours is installed there: Python 3.10's standard library, nothing else.

None of it is stored there: the client sends these modules with every operation. `main.py` lists the operations.
"""
