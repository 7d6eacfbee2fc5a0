"""``python -m services.router``."""

from services.router.main import SERVICE

raise SystemExit(SERVICE.main())
