#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause OR GPL-2.0-only
#
# The part "ramcloud" of bench/run: RAMCloud's workloads W1 to W8, the peak over the limit of live
# bytes and the time of an operation. zs compacts by itself; zs-manual is told to, 64 times a phase.
set -eu

here=$(dirname "$0")
# shellcheck source=bench/heaps.sh
. "$here/heaps.sh"
live_mib=64
rounds=${ROUNDS:-2}
[ "$rounds" -lt 2 ] || rounds=2
if [ -n "${QUICK:-}" ]; then
	live_mib=16
	rounds=1
fi

begin ramcloud
find_mallocs
for round in $(seq "$rounds"); do
	for workload in W1 W2 W3 W4 W5 W6 W7 W8; do
		echo "$workload, round $round of $rounds" >&2
		for subject in zs zs-manual $mallocs; do
			run_on "$subject" ramcloud "$workload" "$((live_mib << 20))" |
				put "$workload" "$subject" "$round"
		done
	done
done
