"""The planner's search: which activation sites stay exact, become polynomials or go, by accuracy against seconds."""
