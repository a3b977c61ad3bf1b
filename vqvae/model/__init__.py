"""The stage-1 model: from token ids to chunks, vectors and codes, and back."""
