"""Matrices known by their products alone: Hessian, Gauss-Newton, empirical Fisher, neural tangent kernel."""
