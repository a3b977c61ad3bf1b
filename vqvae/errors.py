"""The one error that a user's input can cause."""


class InputError(ValueError):
    """Something the user gave is wrong; the message names the thing and the remedy in one line.

    Commands print the message without a traceback and exit with status 1.
    """
