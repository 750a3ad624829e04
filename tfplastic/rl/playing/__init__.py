"""Games as environments, the player of them, and the evaluation of a policy."""
