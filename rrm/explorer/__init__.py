"""The explorer: a page on which the runs of a store can be looked at. `python -m rrm explore` opens it.

Data flows one way: reader -> table of runs -> groups -> series against an axis -> figures of a tab -> page. Everything
before the page works in a notebook, and nothing here imports torch, Ray or MLflow.
"""
