"""The application: tasks, routing, pixels, results, workflow and command line."""
