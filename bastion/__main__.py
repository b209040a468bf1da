"""`python -m bastion` is `bastion`."""

import sys

from bastion.cli import main

sys.exit(main())
