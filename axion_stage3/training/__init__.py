"""Stage 2 surrogates, data set, trainer and evaluation."""
