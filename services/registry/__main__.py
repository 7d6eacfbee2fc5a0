"""``python -m services.registry``."""

from services.registry.main import main

raise SystemExit(main())
