"""JSON over HTTP."""

from server.platform.optional import load_part

# before a module here loads it whole: without its command line and its own supervisors of workers
load_part("uvicorn", config=("Config",), server=("Server",))
