/* What the pictures of a report share. */
#ifndef CLN_BENCH_PLOT_H
#define CLN_BENCH_PLOT_H

#include "bench.h"

enum { CLN_PLOT_WIDTH = 1400, CLN_PLOT_FOOT = 640 };

/* A row of that view that was measured: one that was skipped has no median. */
bool cln_plot_usable(const cln_bench_row *row, const char *view);

/* Device, date, batches of the rows of these two views ("": none), and program. */
void cln_plot_footnote(const cln_bench_report *r, const char *view, const char *other,
                       char out[CLN_PLOT_FOOT]);

/* The errors of a picture: CLN_ERR_ARGUMENT "no rows of view stage to plot", CLN_ERR_MEMORY. */
int cln_plot_no_rows(const char *views, cln_error *err);
int cln_plot_no_memory(const char *path, cln_error *err);

#endif
