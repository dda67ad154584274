"""What is asked: `exercises.yaml` as values, the cases drawn from a seed, the expected answers.

May import only the values.
Knows no submission and no engine.
"""
