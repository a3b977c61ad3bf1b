"""Questions with answers alone, and a served model that gives them traces."""
