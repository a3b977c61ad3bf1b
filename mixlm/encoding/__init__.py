"""``mixlm-encode``: from traces to codes, and the encoded dataset that holds them."""
