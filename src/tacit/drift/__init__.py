"""Where a private run leaves the truth: a reference model, the imported one, its integers and the private run, compared
layer by layer, and the first layer that drifts. After ML-EXray (MLSys 2022, arXiv 2111.04779).
"""
