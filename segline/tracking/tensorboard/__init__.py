"""TensorBoard: event files in a folder of each run. Written without a TensorFlow, and without a server."""
