"""``python -m services.registry``."""

from services.registry.main import SERVICE

raise SystemExit(SERVICE.main())
