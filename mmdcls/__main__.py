"""`python -m mmdcls`: the console command."""

import sys

from mmdcls.commands import main

sys.exit(main())
