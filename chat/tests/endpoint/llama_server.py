"""Serve a model with llama.cpp: `python llama_server.py WEIGHTS OPTIONS`, in an environment that has xllamacpp.

The options are JSON: `port`, `context` in tokens, and `longest`, the maximum number of tokens of an answer. The
answers are deterministic.
"""

import json
import sys
import threading
from pathlib import Path

import xllamacpp  # type: ignore[import-not-found]  # in the environment that runs this


def main() -> None:
    """Serve until killed."""
    weights, options = sys.argv[1], json.loads(sys.argv[2])
    params = xllamacpp.CommonParams()
    params.model.path = weights
    params.hostnames = ["127.0.0.1"]
    params.port = options["port"]
    params.n_ctx = options["context"]
    params.n_predict = options["longest"]
    params.n_parallel = 1
    params.sampling.temp = 0.0
    params.cpuparams.n_threads = 1  # more threads would spin while other processes need the CPU
    params.use_jinja = True
    params.chat_template = Path(__file__).with_name("llama_template.jinja").read_text()
    params.fit_params = False
    server = xllamacpp.Server(params)
    sys.stdout.write(f"{server.listening_address}\n")
    sys.stdout.flush()
    threading.Event().wait()


if __name__ == "__main__":
    main()
