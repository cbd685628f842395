/* A second process that compiles kernels while the first one checks the device and begins to train. PoCL compiles a kernel
 * at its first launch, one at a time, and its cache is for all processes: two of them that begin at different ends share
 * the time, and the first run begins sooner. */
#ifndef CLN_CLI_AHEAD_H
#define CLN_CLI_AHEAD_H

#include <stdbool.h>
#include <sys/types.h>

typedef struct cln_ahead {
    pid_t pid; /* 0: there is none */
    int word;  /* where it listens */
} cln_ahead;

/* Forks a process that waits to be told whether to do work(arg). Has to be called before OpenCL is used: a driver's threads
 * do not come along. Without a process to be had nothing is compiled ahead, which is no error. */
void cln_ahead_start(cln_ahead *a, void (*work)(void *arg), void *arg);

/* Tells it, once; what it prints goes nowhere, and how it ends does not matter. */
void cln_ahead_tell(cln_ahead *a, bool go);

/* Ends it if it still works. Also where it was never started or told. */
void cln_ahead_end(cln_ahead *a);

#endif
