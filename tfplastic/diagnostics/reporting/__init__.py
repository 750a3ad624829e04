"""Reports of measured values: tables, summaries in words, files of a run, and progress lines."""
