"""The one kind of exception a user is meant to read."""


class SeglineError(Exception):
    """Bad input or an impossible request, told in one line: what was wrong, where, and what to do.

    Entry points print the line and exit with a status other than 0; any other exception is a defect of
    segline and keeps its traceback.
    """

    def __str__(self) -> str:
        return " ".join(str(self.args[0]).split()) if self.args else "unknown error"
