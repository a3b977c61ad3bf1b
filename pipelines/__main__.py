"""``python -m pipelines`` is ``mixlm``."""

from pipelines.cli import main


main(prog_name="mixlm")
