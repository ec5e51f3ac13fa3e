"""Real servers of Debian for tests and ./dev cluster, each in a private folder on a free port.

    with Postgres() as server:      # or MariaDB()
        server.start()              # -> "postgresql://…", ready; also: stop, kill, restart

Not for: installing them (./dev does, so that Debian starts none), nor for servers that somebody
else runs: only processes that were started here are ever ended.
"""

from servers.mariadb import MariaDB
from servers.postgres import Postgres
from servers.proxy import Proxy
from servers.redis import Redis
from servers.redis_cluster import RedisCluster

STORES = {server.NAME: server for server in (Postgres, MariaDB)}

__all__ = ["STORES", "MariaDB", "Postgres", "Proxy", "Redis", "RedisCluster"]
