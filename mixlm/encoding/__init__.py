"""``mixlm-encode``: from traces to codes, and the encoded dataset that holds them."""

# Names in the folder of an encoded dataset.
MANIFEST = "manifest.json"
TOKENIZER = "tokenizer"  # folder of the base tokenizer
VQVAE = "vqvae"  # folder of the stage-1 model; a run has a copy of it
USAGE = "usage.json"  # beside that model's weights
ABOUT = "about.json"  # in the folder of what is tokenised already: what decides the ids
