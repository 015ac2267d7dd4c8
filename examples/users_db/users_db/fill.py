"""`python -m users_db.fill`: makes and fills the table in the database of DATABASE_URL, if it has none."""

from __future__ import annotations

import asyncio
import os
import sys

from users_db.store import fill

try:
    import asyncpg
except ModuleNotFoundError:
    asyncpg = None


async def main() -> str:
    """Fills it, and says whether that was needed."""
    async with asyncpg.create_pool(os.environ["DATABASE_URL"], min_size=1, max_size=1) as pool:
        return "filled" if await fill(pool) else "was there already"


if __name__ == "__main__":
    if not os.environ.get("DATABASE_URL") or asyncpg is None:
        sys.exit("users_db.fill: set DATABASE_URL to a PostgreSQL (postgresql://...), and install asyncpg")
    print(f'table "users": {asyncio.run(main())}')
