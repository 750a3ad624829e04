"""Examples as users give them: arrays, frames and streams; their blocks and the checks of their numbers."""
