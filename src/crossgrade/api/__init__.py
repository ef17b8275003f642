"""One function per command: the whole of what the command line can do.

Nothing heavy is imported until a function needs it.
"""

from crossgrade.api.assessing import assess as assess
from crossgrade.api.catalog import chip as chip
from crossgrade.api.catalog import chips as chips
from crossgrade.api.catalog import models as models
from crossgrade.api.catalog import render_models as render_models
from crossgrade.api.diagnosing import doctor as doctor
from crossgrade.api.diagnosing import render_doctor as render_doctor
from crossgrade.api.explaining import explain as explain
from crossgrade.api.explaining import render_pages as render_pages
from crossgrade.api.options import AssessOptions as AssessOptions
from crossgrade.api.recording import write_record as write_record
from crossgrade.api.rendering import render as render
