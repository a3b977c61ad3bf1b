"""What results of many runs say together: tables, intervals, tests, a plot."""
