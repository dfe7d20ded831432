#!/usr/bin/env bash
# What a timer runs where no node has the role cron: the hourly job, once. Twice at the same time is harmless. GATEWAY names the program.
set -euo pipefail
"${GATEWAY:-gateway}" cron hourly --json
