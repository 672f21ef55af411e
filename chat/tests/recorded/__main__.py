"""Record the responses of a server (see the package)."""

import asyncio
import json
import sys
from dataclasses import asdict

from chat.tests.recorded import Client

address, email, password = sys.argv[1:]
exchanges = asyncio.run(Client(address).use_everything(email, password))
sys.stdout.write(json.dumps([asdict(each) for each in exchanges], indent=1) + "\n")
