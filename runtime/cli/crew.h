/* The processes that train the runs of a study, several at a time. Many small networks at once keep a processor busier than
 * one after the other: a kernel on all cores waits for the slowest of them at its end, kernels on one core each do not.
 *
 * OpenCL is used in these processes alone: one whose driver has threads cannot fork another that uses it. The one that
 * forked them looks on. What they tell it stands in memory that they share, the board. */
#ifndef CLN_CLI_CREW_H
#define CLN_CLI_CREW_H

#include "../error.h"

#include <stdatomic.h>
#include <sys/types.h>

enum { CLN_CREW_MAX = 64 };

/* One process's corner of the board. */
typedef struct cln_member {
    pid_t pid;                        /* 0: none, or it has ended */
    atomic_int run;                   /* that is under way, if any, or was the last */
    atomic_int permille;              /* of the run under way; 0 between runs */
    atomic_int images_per_second;     /* 0 between runs */
    int rc;                           /* from here on: valid once it has ended */
    bool interrupted;                 /* in the midst of `run` or, where that is done, before the next one */
    cln_error err;
} cln_member;

typedef struct cln_board {
    atomic_int next;  /* run that nobody has taken yet */
    atomic_bool stop; /* end soon, save what there is */
    char device[288]; /* its name */
    int cores;        /* of a processor that can be shared out among processes; else 0 */
    cln_member members[CLN_CREW_MAX];
    struct {
        double seconds; /* that it will take; NAN: unknown */
        bool diverged;
    } runs[];
} cln_board;

/* Every run's seconds NAN, all else zero. */
int cln_board_new(int n_runs, cln_board **out, cln_error *err);
void cln_board_free(cln_board *board, int n_runs);

/* Forks member k: it does work(arg, member), whose value becomes member->rc, and ends. It ends, too, when its parent does
 * (on Linux; elsewhere it finishes what it does). cores > 0: it is to use that many of them, where the driver can be told. */
int cln_crew_start(cln_board *board, int k, int cores, int (*work)(void *arg, cln_member *m), void *arg, cln_error *err);

/* Whether member k runs still; `wait`: returns once it does not. One that was killed gets rc CLN_ERR_INTERNAL and a text. */
bool cln_crew_runs(cln_board *board, int k, bool wait);

#endif
