/* The pictures of a report, as PNG files at twice their nominal size. */
#ifndef CLN_REPORT_FIGURES_H
#define CLN_REPORT_FIGURES_H

#include "comparison.h"

enum { CLN_REPORT_WIDTH = 1000, CLN_REPORT_MAX_CURVES = 7 }; /* nominal pixels; colours that there are */

/* Accuracy or, `loss`, the loss over the epochs, training and test side by side: a line for each group's mean, a band of
 * one standard deviation over its seeds. At most CLN_REPORT_MAX_CURVES groups are drawn. */
int cln_report_curves(const char *path, const cln_group *const *groups, int n, bool loss, cln_error *err);

/* Test accuracy of the last epoch against x (batches or numbers of groups, ascending), a line for each label; mean and
 * 95 % interval: y[i * n_x + k] of line i, n 0: nothing there. */
int cln_report_sweep(const char *path, const char *x_label, const double *x, int n_x, const char *const *labels,
                     const char *const *norms, const cln_stats *y, int n_lines, cln_error *err);

/* One row of panels: how often, in percent of a true class, each class was predicted, over all runs of a group. Groups
 * without outcomes are left out; *drawn (may be NULL) counts the panels, 0: no file was written. */
int cln_report_confusion(const char *path, const cln_group *const *groups, int n, int *drawn, cln_error *err);

#endif
