"""``python -m services.runcontrol``."""

from services.runcontrol.main import main

raise SystemExit(main())
