"""The servers that are measured, one file a peer: ``python -m tests.benchmarks.servers.X MODE``.

With the files of a key and a certificate after the mode the same server speaks TLS.
Each prints ``listening on tcp:127.0.0.1:PORT`` when ready, and serves until it is killed. Each is
what a competent user of that library would write, with TCP_NODELAY on, as most set it themselves.
"""
