"""Bases of Krylov spaces: their memory, orthogonality, growth and completeness."""
