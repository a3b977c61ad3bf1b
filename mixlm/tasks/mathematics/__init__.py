"""Published problems of mathematics."""
