/* The report of a study, in words, tables and pictures: DIR/NAME.html, DIR/NAME.md and DIR/NAME-*.png. */
#ifndef CLN_STUDY_REPORT_H
#define CLN_STUDY_REPORT_H

#include "comparison.h"
#include "document.h"

/* What a bench measured of a norm at the base batch, seconds of one step; NAN: unknown. */
typedef struct cln_report_cost {
    char norm[16];
    double step, infer;      /* training; the forward pass alone */
    double ratio, low, high; /* of the training step to that without a norm, with its 95 % interval */
} cln_report_cost;

typedef struct cln_report_options {
    const char *dir, *name;
    const cln_report_cost *costs; /* n_costs, may be none */
    int n_costs;
    const char *cost_source;      /* "bench.json, on ..., of ..." */
    const char *date;             /* of the report */
    int unfinished;               /* runs that are left out, since they have not ended or their loss was not finite */
} cln_report_options;

/* CLN_ERR_IO, CLN_ERR_MEMORY. Pictures of an older report stay where they are not replaced. */
int cln_report_write(const cln_comparison *c, const cln_report_options *o, cln_error *err);

/* The parts of it, in report_findings.c and report_method.c. */
void cln_report_findings(cln_document *d, const cln_comparison *c);
void cln_report_norms(cln_document *d);
void cln_report_method(cln_document *d, const cln_comparison *c, const cln_report_options *o);

/* Whether two runs had the same device, driver and version of clnorm; whether all had, and each norm some with as much of the
 * device, so that their times compare. */
bool cln_report_one_system(const cln_result *a, const cln_result *b);
bool cln_report_one_device(const cln_comparison *c);

/* Texts for cells and sentences; each writes into and returns out. "85.32 ± 0.21" ("85.32" where sd is unknown, "–" where
 * the mean is); "85.06 … 85.58"; "0.0123" or "< 0.0001"; "2.10 points". */
enum { CLN_CELL = 64 };
const char *cln_text_stats(char out[CLN_CELL], cln_stats s, int digits);
const char *cln_text_interval(char out[CLN_CELL], double low, double high, int digits);
const char *cln_text_p(char out[CLN_CELL], double p);
const char *cln_text_points(char out[CLN_CELL], double points);
const char *cln_text_count(char out[CLN_CELL], int64_t n); /* "46,074" */

/* Figures of the study that clnorm began from; NULL for other norms. train, test: percent, of its best epoch. */
typedef struct cln_original {
    const char *norm;
    double train, test;
} cln_original;
const cln_original *cln_report_original(const cln_comparison *c, const char *norm);

#endif
