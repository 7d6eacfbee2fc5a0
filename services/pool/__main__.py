"""``python -m services.pool``: the same as ``runyard serve pool``."""

from services.pool.main import SERVICE

raise SystemExit(SERVICE.main())
