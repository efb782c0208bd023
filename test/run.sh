#!/usr/bin/env bash
# `npm test`: sets up what tests need, then types, format and all tests. Real clients and faults share two cores badly
# with each other, so their files run one after another. What fails with real servers is tried once more, since the
# machine may have had something else to do, and the count at the end of .ci/run names it.
set -uo pipefail
cd "$(dirname "$0")/.."
bash test/setup.sh
status=0
npm run -s check || { status=1; CHECK_FAILED=1; }
alone=(test/contract/{ha,embedded,audit-live,galera-cut,galera-faults,mysql-faults,postgres-faults,postgres-standby}.test.ts)
TEST_RESULTS=build/test-results-fast.json npx vitest run test/unit test/simulation || status=1
TEST_RESULTS=build/test-results-contract.json npx vitest run --retry=1 test/contract "${alone[@]/#/--exclude=}" || status=1
TEST_RESULTS=build/test-results-alone.json npx vitest run --retry=1 --no-file-parallelism test/clients "${alone[@]}" || status=1
if [ -n "${CHECK_FAILED:-}" ]; then
  echo "types or format are not in order: npm run check says where, npm run format mends the format"
fi
exit "$status"
