"""``python -m services.runcontrol``."""

from services.runcontrol.main import SERVICE

raise SystemExit(SERVICE.main())
