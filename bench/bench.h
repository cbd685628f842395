/* The bench suite: what training costs on a device. `clnorm bench WHAT`, one file per WHAT.
 *
 * A measurement is a list of cases. cln_bench_measure runs them in rounds, every case in every round, so that a
 * drift of the machine meets all of them alike, and leaves a row for each. Rows go to a report: a table, JSON of
 * Google Benchmark's shape, CSV, a plot. Times are seconds, sizes bytes, rates per second, everywhere but in
 * what is printed.
 *
 * Rows are named VIEW/WHAT/NORM/DIRECTION, "alone/3.conv/-/backward-data", "stage/3.conv+norm+relu/bn/forward",
 * "step/s8/bn/128": the same thing has the same name in every run, which `compare` relies on. */
#ifndef CLN_BENCH_H
#define CLN_BENCH_H

#include "clock.h"
#include "kernel.h"

enum { CLN_BENCH_MAX_NORMS = 8, CLN_BENCH_MAX_BATCHES = 16, CLN_BENCH_BANDWIDTHS = 12 };

/* ---- options that every bench takes --------------------------------------------------------------- */

typedef struct cln_bench_options {
    const char *title;          /* "clnorm bench layers" */
    const char *device;         /* NULL: the default */
    char model[1024];           /* s8 */
    char norms[CLN_BENCH_MAX_NORMS][16];
    int n_norms;
    int batches[CLN_BENCH_MAX_BATCHES];
    int n_batches;
    double min_time;            /* seconds of samples for each row */
    const char *json, *csv, *plot; /* files to write; NULL: not wanted; "-": stdout in place of the table */
    const char *filter;         /* POSIX extended regular expression on row names; NULL: all */
    char flags[64];             /* those of the bench's own that change what a row measures: " --no-fuse" */
} cln_bench_options;

/* Takes the common options out of argv; what it does not know it hands to `other` (may be NULL), which gets a
 * long option's name and value and returns 0 when it took it, 1 when it does not know it, or a negative code.
 * `flags`: names of the options of `other`, "shape=" with '=' where it takes a value, NULL-terminated.
 * -1: go on; else the exit status (--help was printed, or a message on stderr). */
typedef int (*cln_bench_other)(void *arg, const char *name, const char *value, cln_error *err);
int cln_bench_parse(int argc, char **argv, cln_bench_options *o, const char *help, const char *const *flags,
                    cln_bench_other other, void *arg);

/* An option that names a file ("-": stdout) or a picture: tried at once, since what goes there takes minutes to measure. */
int cln_bench_output(const char **out, const char *path, cln_error *err);
int cln_bench_picture(const char **out, const char *path, cln_error *err);

/* Whether a row of this name is wanted. */
bool cln_bench_wanted(const cln_bench_options *o, const char *name);

/* Whether stdout is taken by --json - or --csv -, so that no table is printed. */
bool cln_bench_quiet(const cln_bench_options *o);

/* The device of the options, with profiling and notices on stderr. */
int cln_bench_open(const cln_bench_options *o, cln_device **dev, cln_error *err);
/* Keeps what was compiled for the next run, and closes. NULL is allowed. */
void cln_bench_close(cln_device *dev);

/* ---- the device's ceilings ------------------------------------------------------------------------- */

typedef struct cln_bench_peaks {
    double flops;        /* fused multiply-adds count 2; float32 */
    struct {
        double bytes;    /* working set: all buffers that a pass touches */
        double copy;     /* bytes per second, read and written */
        double read;
    } bandwidth[CLN_BENCH_BANDWIDTHS]; /* working sets ascending, from in-cache to far beyond any cache */
    int n_bandwidth;
    double launch;       /* seconds per kernel, launched back to back */
    double round_trip;   /* seconds per kernel with a wait after each */
} cln_bench_peaks;

/* Measures them now, for about `seconds` in all. */
int cln_bench_peaks_measure(cln_device *dev, double seconds, cln_bench_peaks *out, cln_error *err);

/* Copy bandwidth for a working set of so many bytes: that of the nearest measured one (in ratio). */
double cln_bench_bandwidth(const cln_bench_peaks *p, double working_set);

/* ---- rows ------------------------------------------------------------------------------------------ */

typedef struct cln_bench_kernel { /* one kernel's part in a row */
    char name[48];
    double launches, seconds;     /* per repetition; seconds from events */
} cln_bench_kernel;

/* Stands among the kernels for the time from each kernel's end to the next one's start; not part of `event`. */
#define CLN_BENCH_BETWEEN "between kernels"

typedef struct cln_bench_row {
    char name[128];               /* see above; unique in a run */
    char view[16], what[64], norm[16], direction[24]; /* the parts of the name; norm "-": has none */
    char shape[64];               /* for people: "16->32 3x3 32x32" */
    char note[48];                /* "gemm", "skipped: needs 5000 MiB", ... */
    int batch;                    /* images in a repetition */
    double flops, bytes;          /* of one repetition, algorithmic: each input read once, each output written once */

    /* wall clock: seconds of one repetition */
    double *samples;              /* owned; in the order taken: rounds of per_round samples */
    int n_samples, per_round, repetitions; /* repetitions in each sample */
    double median, min, p10, p90, cv; /* cv: standard deviation / mean */
    double drift;                 /* how far the medians of the first and second half of the samples are apart */
    double event;                 /* kernels' time by the device's clock; NAN: not known */
    double profiled;              /* wall clock of the repetitions that `event` and `kernels` are from */
    double first;                 /* seconds that the first repetition took beyond the median: compiling */
    cln_bench_kernel *kernels;    /* owned; longest first */
    int n_kernels;

    /* against the ceilings: set by cln_bench_row_judge */
    double ceiling;               /* seconds that the device's peaks would allow; 0: no cost known */
    const char *bound;            /* "flops", "memory", or "" */

    /* against the same row without a norm; ratio 0: not known */
    double ratio, ratio_low, ratio_high; /* of medians, with the bootstrap's 95 % interval */
} cln_bench_row;

/* Another run may give another median: the samples scatter, or the machine was another one in the meantime. */
enum { CLN_BENCH_NOISY_PERCENT = 5, CLN_BENCH_DRIFT_PERCENT = 3 };
static inline bool cln_bench_noisy(const cln_bench_row *r)
{
    return r->cv > 0.01 * CLN_BENCH_NOISY_PERCENT || r->drift > 0.01 * CLN_BENCH_DRIFT_PERCENT;
}

/* Fills name from view, what, norm and direction. */
void cln_bench_row_name(cln_bench_row *r, const char *view, const char *what, const char *norm, const char *direction);
/* median ... drift from the samples. */
int cln_bench_row_summarise(cln_bench_row *r, cln_error *err);
/* Adds the samples of `more`, taken in the same way at another time, and summarises anew. */
int cln_bench_row_append(cln_bench_row *r, const cln_bench_row *more, cln_error *err);
/* ceiling and bound from flops, bytes and the peaks. */
void cln_bench_row_judge(cln_bench_row *r, const cln_bench_peaks *p);
void cln_bench_row_clear(cln_bench_row *r);

/* ---- measuring ------------------------------------------------------------------------------------- */

typedef struct cln_bench_case {
    cln_bench_row row;                        /* name, shape, batch, flops, bytes are set by the caller; repetitions
                                               * and per_round may be: 0: chosen by the time it takes */
    int (*run)(void *arg, cln_error *err);    /* enqueues one repetition; does not wait */
    void *arg;
    bool foreign;                             /* launches kernels that are not ours: events do not tell their time */
} cln_bench_case;

typedef struct cln_bench_measurement {
    double min_time;    /* seconds of samples for each case */
    int (*begin_round)(void *arg, cln_error *err); /* before each round; may be NULL; enqueues */
    void *arg;
    void (*progress)(void *arg, int round, int rounds); /* may be NULL */
    void *progress_arg;
} cln_bench_measurement;

/* Runs every case once (its `first`), then chooses repetitions so that a sample is long against the clock and
 * the wait, then takes samples in rounds; last, where the device was opened with profiling, one profiled pass
 * for events. At least 10 samples and 5 rounds. Rows are summarised. */
int cln_bench_measure(cln_device *dev, const cln_bench_measurement *m, cln_bench_case *cases, int n, cln_error *err);

/* ---- statistics ------------------------------------------------------------------------------------ */

double cln_bench_quantile(const double *sorted, int n, double q); /* linear between ranks */
/* Median of n values; `scratch` holds n. */
double cln_bench_median(const double *values, int n, double *scratch);

/* Ratio of medians of a over b and its bootstrap interval at `confidence` (0.95). Whole rounds are drawn with
 * replacement, not single samples: samples of a round share the machine's mood. (Efron & Tibshirani 1993.)
 * a and b: row's samples; the sums of medians are compared where more than one row stands on a side. */
typedef struct cln_bench_interval {
    double ratio, low, high;
} cln_bench_interval;
int cln_bench_ratio(const cln_bench_row *const *a, int n_a, const cln_bench_row *const *b, int n_b, double confidence,
                    cln_bench_interval *out, cln_error *err);

/* Two-sided p of the Mann-Whitney U test with the normal approximation, corrected for ties (Mann & Whitney 1947). */
double cln_bench_rank_test(const double *a, int n_a, const double *b, int n_b);

/* ---- reports --------------------------------------------------------------------------------------- */

typedef struct cln_bench_context {
    char date[32], program[32], commit[48], host[64];
    char device[288], platform[128], driver[64], opencl[64], compiler[64];
    int compute_units, vector_width;
    double load[3];           /* before the run */
    char command[512];        /* as it was called */
    cln_bench_peaks peaks;
} cln_bench_context;

typedef struct cln_bench_report {
    cln_bench_context context;
    cln_bench_row *rows;      /* owned, grown by cln_bench_report_add */
    int n_rows;
} cln_bench_report;

/* Date, versions, load, device (NULL: none). */
void cln_bench_context_fill(cln_bench_context *c, const cln_device *dev, int argc, char **argv);
/* Takes the row over (the caller's is zeroed). */
int cln_bench_report_add(cln_bench_report *r, cln_bench_row *row, cln_error *err);
void cln_bench_report_clear(cln_bench_report *r);
const cln_bench_row *cln_bench_report_find(const cln_bench_report *r, const char *name);
/* The command that repeats a row alone. */
void cln_bench_repeat(const cln_bench_options *o, const cln_bench_row *row, char *out, size_t size);

/* Google Benchmark's shape: {"context": {...}, "benchmarks": [{"name", "run_type": "iteration", "iterations",
 * "real_time", "cpu_time", "time_unit": "us", ...}]}; cpu_time is the kernels' time by the device's clock. */
int cln_bench_write_json(const cln_bench_report *r, const cln_bench_options *o, const char *path, cln_error *err);
int cln_bench_read_json(const char *path, cln_bench_report *out, cln_error *err);
int cln_bench_write_csv(const cln_bench_report *r, const cln_bench_options *o, const char *path, cln_error *err);

/* The files that the options ask for. */
int cln_bench_write(const cln_bench_report *r, const cln_bench_options *o, cln_error *err);
/* Device, date, version, load and peaks: the head of every table, on stdout. */
void cln_bench_print_context(const cln_bench_report *r);

/* "1.23 ms", "456 us": four characters of number and a unit. */
const char *cln_bench_time_text(double seconds, char out[16]);

/* ---- plots (PNG or SVG by the file's name) --------------------------------------------------------- */

/* Stacked bars: for each stage and norm the time of forward and backward. */
int cln_bench_plot_stages(const cln_bench_report *r, const char *path, cln_error *err);
/* A roofline of the device with a dot for each row that has a cost. */
int cln_bench_plot_roofline(const cln_bench_report *r, const char *path, cln_error *err);
/* Images per second against batch size, one line per norm; training and inference side by side. */
int cln_bench_plot_batches(const cln_bench_report *r, const char *path, cln_error *err);
/* Price of each norm in % of a step without a norm, split by where it is paid. */
int cln_bench_plot_prices(const cln_bench_report *r, const char *path, cln_error *err);

/* ---- the benches ----------------------------------------------------------------------------------- */

int cln_bench_peak(int argc, char **argv);
int cln_bench_layers(int argc, char **argv);
int cln_bench_step(int argc, char **argv);
int cln_bench_norms(int argc, char **argv);
int cln_bench_compare(int argc, char **argv);

#endif
