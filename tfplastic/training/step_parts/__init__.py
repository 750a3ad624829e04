"""Parts of the gradient step."""
