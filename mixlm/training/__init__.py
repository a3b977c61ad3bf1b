"""``mixlm-train``: from mixed sequences and a base model to a run folder."""
