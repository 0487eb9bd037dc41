"""Training: a recipe, an objective, one loop with checkpoints that resumes exactly, and evaluation."""
