"""A data set looked at before anything is trained: measured case by case, told on one page.

Changes nothing and keeps nothing; knows no kind of task by name, and shows what the cases have.
"""
