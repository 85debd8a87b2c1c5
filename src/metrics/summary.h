/* SPDX-License-Identifier: Apache-2.0 */
/* What measurements of several images say together: means, 95 % intervals, and which differences between methods are
 * more than chance.
 *
 * A record is what was measured on one image:
 *   {"target": {"label", …}, "metrics": {METRIC: {SUBJECT: measurement, …}, …}, …}
 * Undefined values are counted, never replaced. */
#ifndef PENUMBRA_METRICS_SUMMARY_H
#define PENUMBRA_METRICS_SUMMARY_H

#include "metrics/metric.h"

/* {"title", "headline", "better", "columns", "images", "notes", "warnings", "subjects": {SUBJECT: {"values": {NAME:
 * {"mean", "lo", "hi", "n", "undefined"}}, "curves": {NAME: {"y", "lo", "hi"}}, "x", "evaluations", "seconds",
 * "skipped"}}, "ranking": [{"subject", "rank", "mean", "lo", "hi", "mean_rank"}], "pairs": [{"a", "b", "difference",
 * "lo", "hi", "n", "significant"}]} The best comes first; those whose paired interval with the first of their rank
 * includes 0 share that rank. */
json_t *summary_make(const struct metric *metric, const json_t *records, struct error *err);

#endif
