"""Declarations of quantities: cost, needs and reads, from which budgets and the page of quantities come."""
