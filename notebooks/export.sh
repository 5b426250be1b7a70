#!/bin/sh
# The notebook data-analysis-2024 as a file, a page and a text with its images beside it.
set -e
runt export data-analysis-2024 -o analysis.ipynb
runt export data-analysis-2024 --to html -o analysis.html
runt export data-analysis-2024 --to md -o analysis.md
