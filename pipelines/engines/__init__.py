"""An engine that a command starts to serve its run, uses, and stops."""
