"""One function per command: the whole of what the command line can do.

Nothing heavy is imported until a function needs it.
"""

from crossgrade.api.assessing import assess as assess
from crossgrade.api.bench_rendering import render_bench as render_bench
from crossgrade.api.bench_rendering import render_comparison as render_comparison
from crossgrade.api.bench_rendering import render_operator_list as render_operator_list
from crossgrade.api.bench_rendering import render_reproduction as render_reproduction
from crossgrade.api.bench_rendering import render_targets as render_targets
from crossgrade.api.bench_rendering import render_verifications as render_verifications
from crossgrade.api.bench_rendering import stored_bench as stored_bench
from crossgrade.api.bench_rendering import targets as targets
from crossgrade.api.benching import BenchOptions as BenchOptions
from crossgrade.api.benching import bench as bench
from crossgrade.api.benching import shapes_from_json as shapes_from_json
from crossgrade.api.catalog import chip as chip
from crossgrade.api.catalog import chip_list as chip_list
from crossgrade.api.catalog import chip_page as chip_page
from crossgrade.api.catalog import chip_pages as chip_pages
from crossgrade.api.catalog import chips as chips
from crossgrade.api.catalog import models as models
from crossgrade.api.catalog import render_models as render_models
from crossgrade.api.chip_rendering import render_chip_list as render_chip_list
from crossgrade.api.chip_rendering import render_chip_pages as render_chip_pages
from crossgrade.api.comm import CommOptions as CommOptions
from crossgrade.api.comm import bench_comm as bench_comm
from crossgrade.api.comm import comm_plan as comm_plan
from crossgrade.api.comm import render_comm as render_comm
from crossgrade.api.comparing import compare_runs as compare_runs
from crossgrade.api.comparing import reproduce as reproduce
from crossgrade.api.diagnosing import doctor as doctor
from crossgrade.api.diagnosing import render_doctor as render_doctor
from crossgrade.api.explaining import explain as explain
from crossgrade.api.explaining import render_pages as render_pages
from crossgrade.api.files import write_text as write_text
from crossgrade.api.keeping import load_record as load_record
from crossgrade.api.keeping import verify_records as verify_records
from crossgrade.api.operators import OperatorQuery as OperatorQuery
from crossgrade.api.operators import operators as operators
from crossgrade.api.operators import render_operators as render_operators
from crossgrade.api.options import AssessOptions as AssessOptions
from crossgrade.api.recording import write_record as write_record
from crossgrade.api.rendering import document as document
from crossgrade.api.rendering import render as render
from crossgrade.api.reports import command_line as command_line
from crossgrade.api.reports import compare as compare
from crossgrade.api.reports import derivations as derivations
from crossgrade.api.reports import earlier_record as earlier_record
from crossgrade.api.reports import html_report as html_report
from crossgrade.api.reports import markdown_report as markdown_report
from crossgrade.api.reports import number_named as number_named
from crossgrade.api.reports import report as report
from crossgrade.api.reports import sarif_report as sarif_report
from crossgrade.api.showing import render_stored as render_stored
