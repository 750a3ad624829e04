"""Parts of a supervised stream: state, schedules, objectives, scores, and the bounds of its sizes."""
