"""Record a server (see the package)."""

import asyncio
import json
import sys
from dataclasses import asdict

from chat.tests.recorded import Client

address, email, password = sys.argv[1:]
played = asyncio.run(Client(address).play(email, password))
sys.stdout.write(json.dumps([asdict(each) for each in played], indent=1) + "\n")
