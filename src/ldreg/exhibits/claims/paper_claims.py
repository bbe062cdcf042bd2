"""All claims, in the order of the paper, and what every run must have been measured for."""

from ldreg.exhibits.claims.appendix_claims import APPENDIX_CLAIMS
from ldreg.exhibits.claims.section_claims import SECTION_CLAIMS

CLAIMS = (*SECTION_CLAIMS, *APPENDIX_CLAIMS)
METRICS_OF_CLAIMS = ("mlid", "effective_rank", "linear_top1")
