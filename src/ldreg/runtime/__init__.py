"""GPUs, ranks, the output of jobs, and the versions of the code."""
