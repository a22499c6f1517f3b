"""How good an answer is: figures of a case, their spread over cases, and the folds' cases together.

Measures; whether that is good enough is for acceptance to say.
"""
