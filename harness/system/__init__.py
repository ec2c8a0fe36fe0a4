"""The machine and the user: paths, files, processes, signals, text for the screen. Nothing here knows a cell."""
