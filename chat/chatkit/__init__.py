"""The ChatKit protocol, of the package of that name, over conversations and turns."""

from chatkit.logger import logger

# With LOG_LEVEL set, which is a setting of ours too, the package writes logs in a form of its own.
logger.handlers.clear()
