"""Drivers of gradient steps: batches from the host one by one, or many steps in one compiled program."""
