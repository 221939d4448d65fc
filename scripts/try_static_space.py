"""Serve the static Space with the bundled release: `python scripts/try_static_space.py`. Nothing is published."""

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from skinvision_hf.errors import run_command


def serve(argv: Sequence[str] | None) -> int:
    """Stage the page, put the release where the page looks for it, and serve both."""
    argparse.ArgumentParser(description=__doc__).parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        handler = partial(SimpleHTTPRequestHandler, directory=folder)
        with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
            # huggingface_hub reads it when it is imported.
            address = os.environ["HF_ENDPOINT"] = f"http://127.0.0.1:{server.server_port}"
            from skinvision_hf.hub.spaces import Space, stage_space
            from skinvision_hf.models.release import bundled_release, copy_release

            stage_space(Space("local/page", "bundled/release", "main"), Path(folder))
            copy_release(bundled_release(), Path(folder, "bundled", "release", "resolve", "main"))
            print(f"{address}/index.html", flush=True)
            server.serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(run_command(serve))
