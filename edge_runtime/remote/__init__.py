"""Remote boards, over SSH: put runtime and model there, let `lpc-bench run` measure, bring the result back.

Knows results, not how they are measured, and no command. `board/` is all that runs on the board before our wheel is
there; it needs nothing but Python 3.10. `serial/` is the console of a board on a serial line.
"""
