"""One function per command: the whole of what the command line can do.

Nothing heavy is imported until a function needs it.
"""

from crossgrade.api.assessing import assess as assess
from crossgrade.api.catalog import chip as chip
from crossgrade.api.catalog import chip_list as chip_list
from crossgrade.api.catalog import chip_page as chip_page
from crossgrade.api.catalog import chip_pages as chip_pages
from crossgrade.api.catalog import chips as chips
from crossgrade.api.catalog import models as models
from crossgrade.api.chip_rendering import render_chip_list as render_chip_list
from crossgrade.api.chip_rendering import render_chip_pages as render_chip_pages
from crossgrade.api.options import AssessOptions as AssessOptions
from crossgrade.api.recording import write_record as write_record
from crossgrade.api.rendering import render as render
