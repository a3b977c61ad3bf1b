"""Progress of work that is done in batches."""

from collections.abc import Callable


ReportProgress = Callable[[int, int], None]


class RunningTotal:
    """Turns calls with a number of things just done into reports of (done, total).

    Args:
        report: Receives the reports; None: nobody does.
        total: Number of things to do.
    """

    def __init__(self, report: ReportProgress | None, total: int) -> None:
        self.report, self.total, self.done = report, total, 0

    def __call__(self, more: int) -> None:
        """Count ``more`` things as done."""
        self.done += more
        if self.report is not None:
            self.report(self.done, self.total)
