"""``python -m vaeopt``."""

from vaeopt.cli import main

raise SystemExit(main())
